/* story_table.c: the words and sentences of the stories. What may stand where, and what it changes, is said here
 * and nowhere else. */
#include "world/story.h"

#include "world/scene.h"

enum { GIRLS = 8, NAMES = 2 * GIRLS };

static const char *const names[NAMES + 1] = {"Mia",  "Anna", "Lily", "Zoe",  "Ella", "Emma",
                                             "Nora", "Ruth", "Tom",  "Ben",  "Max",  "Leo",
                                             "Sam",  "Jack", "Finn", "Otto", NULL};
static const char *const items[] = {"ball", "kite",  "boat", "drum", "doll",  "car", "bell", "hat",
                                    "top",  "train", "cup",  "book", "robot", "bag", NULL};
/* Each with its preposition, and alone. */
static const struct {
    const char *at, *place;
} places[] = {
    {"in the garden", "the garden"},
    {"in the park", "the park"},
    {"in the forest", "the forest"},
    {"in the field", "the field"},
    {"in the yard", "the yard"},
    {"at the lake", "the lake"},
    {"at the beach", "the beach"},
    {"at the market", "the market"},
    {"at the farm", "the farm"},
    {"at the zoo", "the zoo"},
    {"by the river", "the river"},
    {"by the pond", "the pond"},
    {"by the bridge", "the bridge"},
    {"on the hill", "the hill"},
    {NULL, NULL},
};
static const char *const animals[] = {"dog", "cat", "goat", "fox", "monkey", "pony", NULL};
static const char *const covers[] = {"a bush", "a tree", "a bench", "a big stone", NULL};

bool fr_story_is_girl(int name) {
    return name < GIRLS;
}

fr_story_fact fr_story_fact_of(char slot, int owner) {
    switch (slot) {
    case 'A':
    case 'S':
    case 's':
    case 'h':
    case 'm': return FR_STORY_CHILD;
    case 'B':
    case 'T':
    case 't':
    case 'g':
    case 'n': return FR_STORY_FRIEND;
    case 'o':
    case 'O':
    case 'r': return owner == 1 ? FR_STORY_FRIEND : FR_STORY_CHILD;
    case 'c':
    case 'k': return FR_STORY_COLOUR;
    case 'i': return FR_STORY_ITEM;
    case 'w':
    case 'p': return FR_STORY_HERE;
    case 'l':
    case 'q': return FR_STORY_THERE;
    case 'd':
    case 'y': return FR_STORY_NEXT;
    case 'x': return FR_STORY_ANIMAL;
    case 'u': return FR_STORY_COVER;
    default: return FR_STORY_FACTS;
    }
}

const char *fr_story_word(char slot, int value) {
    static const char *const a_colour[FR_COLOURS] = {"a red",    "a green",   "a blue",  "a yellow",
                                                     "a purple", "an orange", "a black", "a white"};
    bool girl = fr_story_is_girl(value), person = value < NAMES;
    switch (slot) {
    case 'A':
    case 'B':
    case 'o': return names[value];
    case 'S':
    case 'T':
    case 'O': return !person ? NULL : girl ? "She" : "He";
    case 's':
    case 't': return !person ? NULL : girl ? "she" : "he";
    case 'h':
    case 'g':
    case 'r': return !person ? NULL : girl ? "her" : "his";
    case 'm':
    case 'n': return !person ? NULL : girl ? "her" : "him";
    case 'c': return value < FR_COLOURS ? fr_colour_names[value] : NULL;
    case 'k': return value < FR_COLOURS ? a_colour[value] : NULL;
    case 'i': return items[value];
    case 'w':
    case 'l':
    case 'd': return places[value].place;
    case 'p':
    case 'q':
    case 'y': return places[value].at;
    case 'x': return animals[value];
    case 'u': return covers[value];
    default: return NULL;
    }
}

#define AT(stage) (1u << FR_STORY_##stage)
#define TO(stage) FR_STORY_##stage
#define LINE(from, to, ...)                                                                        \
    { AT(from), TO(to), 0, __VA_ARGS__ }
#define DOES(from, to, effects, ...)                                                               \
    { AT(from), TO(to), effects, __VA_ARGS__ }

const fr_story_sentence fr_story_sentences[] = {
    /* ---- what is given ---- */
    LINE(START, HAD, "%A had %k %i."),
    LINE(START, HAD, "%A loved %h %c %i."),
    LINE(START, HAD, "%A got %k %i one day."),
    LINE(START, MET, "One day %A and %B were %p."),
    LINE(START, MET, "%A and %h friend %B went to %w."),
    LINE(START, MET, "One morning %A met %B %p."),
    LINE(START, SOLO, "One day %A took %h %c %i to %w."),
    LINE(START, SOLO, "One morning %A was %p with %h %c %i."),
    LINE(START, SOLO, "%A played with %k %i %p."),
    LINE(START, DUO, "%A showed %h %c %i to %B %p."),
    LINE(START, DUO, "One day %A took %h %c %i to %w to show it to %B."),
    LINE(START, DUO, "%A and %B played %p with the %c %i that %A had."),
    LINE(HAD, SOLO, "One day %s took it to %w."),
    LINE(HAD, SOLO, "%S loved to play with it %p."),
    LINE(HAD, SOLO, "In the morning %s went to %w with it."),
    LINE(HAD, DUO, "One day %s and %h friend %B took it to %w."),
    LINE(HAD, DUO, "%S showed it to %B %p."),
    LINE(HAD, DUO, "%B wanted to see it, so they met %p."),
    LINE(MET, DUO, "%A had %k %i with %m."),
    LINE(MET, DUO, "%A had brought %h %c %i."),
    LINE(MET, DUO, "%S was holding %k %i."),

    /* ---- left behind, missed, found ---- */
    DOES(SOLO, AWAY, FR_STORY_LEAVE | FR_STORY_GO, "Then %s ran to %d and forgot the %i."),
    DOES(SOLO, AWAY, FR_STORY_LEAVE | FR_STORY_GO,
         "Then %s went to %d, but the %i was left behind."),
    DOES(SOLO, AWAY, FR_STORY_LEAVE | FR_STORY_GO, "%S put it down and walked on to %d."),
    DOES(SOLO, AWAY, FR_STORY_LEAVE | FR_STORY_GO,
         "%S left for %d and did not see the %i fall down."),
    LINE(AWAY, GONE, "%S wanted to play, but the %i was gone."),
    LINE(AWAY, GONE, "%S looked %p, but the %i was not there."),
    LINE(AWAY, GONE, "Soon %s saw that the %i was gone."),
    LINE(GONE, SAD, "\"Where is my %c %i?\" cried %A."),
    LINE(GONE, SAD, "%A was very sad."),
    LINE(GONE, SAD, "%S sat down and cried."),
    DOES(GONE, HAPPY, FR_STORY_BACK, "%S ran back to %l, and there was the %i."),
    DOES(GONE, HAPPY, FR_STORY_BACK, "So %A went back to %l and found it under %u."),
    DOES(GONE, HAPPY, FR_STORY_BACK, "So %s went back to %l, where a little %x had found it."),
    DOES(SAD, HAPPY, FR_STORY_BACK, "Then %s went back to %l and found it behind %u."),
    DOES(SAD, HAPPY, FR_STORY_BACK, "%S walked all the way back to %l, and there it was."),
    DOES(SAD, HAPPY, FR_STORY_BACK, "At last %s ran back to %l and saw the %i next to %u."),

    /* ---- up in a tree ---- */
    LINE(SOLO, STUCK, "A strong wind came and blew the %i into a tree."),
    LINE(SOLO, STUCK, "Oh no, the %i got stuck in a tall tree!"),
    LINE(SOLO, STUCK, "%S threw it up high, and it landed in a tree."),
    LINE(STUCK, STUCK_FAST, "%S jumped, but %s could not reach it."),
    LINE(STUCK, STUCK_FAST, "%A tried to climb up, but the tree was too tall."),
    LINE(STUCK, STUCK_FAST, "%S shook the tree, but the %i did not come down."),
    LINE(STUCK_FAST, HAPPY, "Then a clever %x helped %m and got the %i down."),
    LINE(STUCK_FAST, HAPPY, "A tall man saw %m and got it down."),
    LINE(STUCK_FAST, HAPPY, "Then the wind blew again, and the %i fell right into %h hands."),

    /* ---- in the mud ---- */
    LINE(SOLO, DIRTY, "Then the %i fell into the mud."),
    LINE(SOLO, DIRTY, "Oh no, it fell down into the mud!"),
    LINE(SOLO, DIRTY, "The %i fell down, and soon it was full of mud."),
    LINE(DIRTY, BROWN, "Now it was brown and not %c at all."),
    LINE(DIRTY, BROWN, "%S could not see that it was %c."),
    LINE(DIRTY, BROWN, "\"My %i is not %c now,\" said %A."),
    LINE(BROWN, HAPPY, "So %s washed it until it was %c again."),
    LINE(BROWN, HAPPY, "But %A washed it with water, and soon it was clean."),
    DOES(BROWN, HAPPY, FR_STORY_GO, "%S took it to %d and washed it there."),

    /* ---- taken by an animal ---- */
    LINE(SOLO, TAKEN, "Then a little %x took the %i and ran away."),
    LINE(SOLO, TAKEN, "A big %x came and took the %i."),
    LINE(SOLO, TAKEN, "Then a funny %x jumped up and took it."),
    DOES(TAKEN, CHASED, FR_STORY_GO, "%A ran after the %x, all the way to %d."),
    DOES(TAKEN, CHASED, FR_STORY_GO, "The %x ran to %d, and %A ran after it."),
    DOES(TAKEN, CHASED, FR_STORY_GO, "%S followed the %x to %d."),
    LINE(CHASED, HAPPY, "There the %x got tired and put the %i down."),
    LINE(CHASED, HAPPY, "%S gave the %x some bread, and the %x gave the %i back."),
    LINE(CHASED, HAPPY, "\"Please give me my %i,\" said %A, and the %x did."),

    /* ---- asked for, lent, perhaps given ---- */
    LINE(DUO, ASKED, "\"May I play with it?\" asked %B."),
    LINE(DUO, ASKED, "%B wanted to play with the %i too."),
    LINE(DUO, ASKED, "\"Can I have the %i too?\" asked %B."),
    LINE(ASKED, REFUSED, "\"No, it is mine,\" said %A, and %B was sad."),
    LINE(ASKED, REFUSED, "%A said no, and %B cried."),
    LINE(ASKED, REFUSED, "But %A held it tight, and %B sat down and cried."),
    LINE(ASKED, LENT, "\"Here you are,\" said %A and gave it to %n."),
    LINE(ASKED, LENT, "%A smiled and gave %n the %i."),
    LINE(ASKED, LENT, "\"Yes, take it,\" said %A."),
    LINE(REFUSED, LENT, "Then %A was sorry and gave %n the %i."),
    LINE(REFUSED, LENT, "\"Let us play with it,\" said %A and gave it to %n."),
    LINE(REFUSED, LENT, "Soon %s went to %n and let %n have it."),
    LINE(LENT, PLAYED, "%T played with it %p until the sun went down."),
    LINE(LENT, PLAYED, "%B laughed and ran up and down with it."),
    LINE(LENT, PLAYED, "%T had so much fun with the %i."),
    LINE(PLAYED, END, "Then %t gave the %c %i back, and they went home."),
    LINE(PLAYED, END, "\"Thank you,\" said %B and gave %A the %c %i back."),
    LINE(PLAYED, END, "That night %A had %h %c %i back and a good friend too."),
    DOES(LENT, HAPPY, FR_STORY_GIVE, "%B loved it so much that %A let %n keep it."),
    DOES(LENT, HAPPY, FR_STORY_GIVE, "\"You can keep it,\" said %A to %n."),
    DOES(LENT, HAPPY, FR_STORY_GIVE, "\"I give it to you,\" said %A and smiled."),

    /* ---- broken and mended ---- */
    LINE(DUO, BROKEN, "Then the %i fell down and broke."),
    LINE(DUO, BROKEN, "%B fell over a stone, and the %i broke."),
    LINE(DUO, BROKEN, "Oh no, the %i broke in two!"),
    LINE(BROKEN, WEEPING, "%A cried and cried."),
    LINE(BROKEN, WEEPING, "\"My poor %i,\" said %A."),
    LINE(BROKEN, WEEPING, "%A looked at it and was very sad."),
    LINE(WEEPING, HAPPY, "\"I can help,\" said %B and mended the %i."),
    LINE(WEEPING, HAPPY, "But soon %B had mended it, and it was good again."),
    DOES(WEEPING, HAPPY, FR_STORY_GO, "%B took %m to %d, where an old man mended it."),

    /* ---- hidden and sought ---- */
    DOES(DUO, HIDDEN, FR_STORY_HIDE, "For fun %B took the %i and hid it %y."),
    DOES(DUO, HIDDEN, FR_STORY_HIDE, "\"Close your eyes,\" said %B and hid the %i %y."),
    DOES(DUO, HIDDEN, FR_STORY_HIDE, "They played a game, and %B hid the %i %y."),
    LINE(HIDDEN, SEARCHED, "First %A looked %p, but it was not there."),
    LINE(HIDDEN, SEARCHED, "%A looked under the trees %p and did not find it."),
    LINE(HIDDEN, SEARCHED, "\"I can not find it %p,\" said %A."),
    DOES(SEARCHED, HAPPY, FR_STORY_BACK, "Then %s went to %l and found it under %u."),
    DOES(SEARCHED, HAPPY, FR_STORY_BACK, "%B laughed and took %m to %l, and there it was."),
    DOES(SEARCHED, HAPPY, FR_STORY_BACK, "At last %s ran to %l and saw the %i behind %u."),

    /* ---- a race ---- */
    DOES(DUO, RACED, FR_STORY_GO, "\"Let us race to %d,\" said %B."),
    DOES(DUO, RACED, FR_STORY_GO, "They ran a race to %d."),
    DOES(DUO, RACED, FR_STORY_GO, "\"The first at %d gets the %i,\" said %A."),
    LINE(RACED, LOST_RACE, "%B was faster and won."),
    LINE(RACED, LOST_RACE, "%A ran fast, but %B ran faster."),
    LINE(RACED, LOST_RACE, "%A fell down on the way, so %B won the race."),
    LINE(RACED, WON_RACE, "%A was faster and won."),
    LINE(RACED, WON_RACE, "%B ran fast, but %A ran faster."),
    LINE(RACED, WON_RACE, "%B fell down on the way, so %A won the race."),
    DOES(LOST_RACE, HAPPY, FR_STORY_GIVE, "So %A gave %n the %i."),
    DOES(LOST_RACE, HAPPY, FR_STORY_GIVE, "\"Well done, now the %i is yours,\" said %A."),
    DOES(LOST_RACE, HAPPY, FR_STORY_GIVE, "%A was a good friend and let %n have the %i."),
    LINE(WON_RACE, HAPPY, "\"You can keep your %i,\" said %B and laughed."),
    LINE(WON_RACE, HAPPY, "So %s could keep the %i."),
    LINE(WON_RACE, HAPPY, "\"Well done,\" said %B, and they sat down %p."),

    /* ---- endings ---- */
    LINE(HAPPY, END, "%o was happy and took the %c %i home."),
    LINE(HAPPY, END, "That night %o slept with the %c %i next to %r bed."),
    LINE(HAPPY, END, "From that day on %o took good care of the %c %i."),
    LINE(HAPPY, END, "%O held the %c %i tight and smiled all the way home."),
    LINE(HAPPY, END, "%o danced %p with the %c %i until it was dark."),
    LINE(HAPPY, END, "And so %o went home from %w with the %c %i."),
};
const int fr_story_sentence_count = sizeof fr_story_sentences / sizeof *fr_story_sentences;
