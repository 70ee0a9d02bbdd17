/* quantize_sentences.c: sentences of everyday English to calibrate encoders on, put together from lists by lot.
 *
 * What counts is that many words meet in many orders, as statements, questions and notes. */
#include <stdio.h>
#include <string.h>

#include "cli/quantize.h"

static const char *const people[] = {"a nurse",
                                     "the pilot",
                                     "two students",
                                     "her uncle",
                                     "the committee",
                                     "a journalist",
                                     "our landlord",
                                     "the goalkeeper",
                                     "a retired judge",
                                     "the plumber",
                                     "several tourists",
                                     "his grandmother",
                                     "the new manager",
                                     "an astronomer",
                                     "the orchestra",
                                     "a police officer",
                                     "the government",
                                     "some researchers",
                                     "the shop assistant",
                                     "a lonely sailor",
                                     "my cousin Peter",
                                     "Maria",
                                     "Dr. Williams",
                                     "the whole village",
                                     "a software company",
                                     "the prime minister",
                                     "an old fisherman",
                                     "the librarian",
                                     "John Smith",
                                     "the customer",
                                     "a small startup",
                                     "the architect"};
static const char *const did[] = {
    "has cancelled", "painted",           "discovered",       "complained about", "is looking for",
    "sold",          "explained",         "could not afford", "measured",         "ordered",
    "photographed",  "will never forget", "borrowed",         "cleaned",          "described",
    "is afraid of",  "argued over",       "designed",         "destroyed",        "tested",
    "paid for",      "admired",           "translated",       "was proud of",     "keeps",
    "reported",      "improved",          "threw away",       "voted against",    "depends on",
    "invented",      "waited for"};
static const char *const things[] = {"the wooden bridge",
                                     "a cup of coffee",
                                     "an electric car",
                                     "the contract",
                                     "three airline tickets",
                                     "a mobile phone",
                                     "the mountain path",
                                     "a bowl of soup",
                                     "the results of the election",
                                     "a violin",
                                     "the blood samples",
                                     "an expensive watch",
                                     "the football match",
                                     "a recipe for rice and beans",
                                     "the database server",
                                     "a pair of shoes",
                                     "solar panels",
                                     "the annual budget",
                                     "a rare disease",
                                     "the storm last winter",
                                     "a novel about the war",
                                     "the morning meeting",
                                     "fresh vegetables",
                                     "a machine learning model",
                                     "the museum",
                                     "her medical records",
                                     "a dozen eggs",
                                     "the hotel room",
                                     "climate change",
                                     "an unpaid invoice",
                                     "the washing machine",
                                     "a piece of music by Bach",
                                     "the tax return",
                                     "an ancient temple",
                                     "the school bus",
                                     "a black dog",
                                     "the spaceship",
                                     "interest rates",
                                     "a glass of wine",
                                     "the password"};
static const char *const where[] = {
    "in the middle of the city", "near the coast",     "at the office",     "on the second floor",
    "in South America",          "at the airport",     "behind the church", "on the internet",
    "in a small laboratory",     "under the old roof", "at university",     "in the desert",
    "on a rainy street",         "in the hospital",    "along the canal",   "at home"};
static const char *const when[] = {"last Tuesday",
                                   "in 1987",
                                   "every summer",
                                   "after the meeting",
                                   "at midnight",
                                   "two hours ago",
                                   "during the holidays",
                                   "before sunrise",
                                   "next month",
                                   "for the first time",
                                   "since March",
                                   "once a week",
                                   "in spite of the cold",
                                   "without asking anyone",
                                   "as quickly as possible",
                                   "because it was cheaper"};
static const char *const doing[] = {"install the update",
                                    "lose weight",
                                    "learn to swim",
                                    "open a bank account",
                                    "cook pasta for ten people",
                                    "fix a flat tire",
                                    "train a puppy",
                                    "apply for a visa",
                                    "grow tomatoes on a balcony",
                                    "write a good letter",
                                    "reset my account",
                                    "save electricity",
                                    "travel through Japan by train",
                                    "treat a cold",
                                    "choose a camera",
                                    "play the guitar",
                                    "prove this theorem",
                                    "sort a list in Python",
                                    "invest some money",
                                    "stop smoking"};
static const char *const topics[] = {"photosynthesis",
                                     "The Roman Empire",
                                     "chess",
                                     "Inflation",
                                     "the human heart",
                                     "volcanoes",
                                     "Quantum mechanics",
                                     "public transport",
                                     "The French Revolution",
                                     "bread",
                                     "artificial intelligence",
                                     "the moon",
                                     "Vaccination",
                                     "jazz music",
                                     "deep sea fish",
                                     "Copyright law",
                                     "marriage",
                                     "the stock market",
                                     "Renewable energy",
                                     "basketball",
                                     "ancient Greek philosophy",
                                     "sleep",
                                     "antibiotics",
                                     "the English language"};
static const char *const said[] = {"is more complicated than most people think",
                                   "was studied for many years",
                                   "plays an important role in daily life",
                                   "has changed a lot since then",
                                   "can be dangerous for children",
                                   "is not what it used to be",
                                   "makes me happy",
                                   "requires patience and practice",
                                   "costs too much",
                                   "is one of the oldest examples",
                                   "will be discussed in the next chapter",
                                   "was first described in the 19th century",
                                   "has both advantages and disadvantages",
                                   "is hard to explain in a few words"};
static const char *const feelings[] = {"I really loved it",
                                       "It was a complete waste of money",
                                       "The food was cold",
                                       "Highly recommended",
                                       "The service could be better",
                                       "I would not buy it again",
                                       "What a beautiful day",
                                       "The plot is boring but the actors are great",
                                       "It broke after a week",
                                       "Nothing special",
                                       "Thank you so much for your help",
                                       "Please call me back",
                                       "I am sorry to hear that",
                                       "The delivery took three weeks",
                                       "Best concert ever",
                                       "The battery lasts all day"};

#define PICK(list) list[fr_rng_below(r, FR_COUNT(list))]

static void make(fr_rng *r, char *t, size_t n) {
    const char *a = PICK(people), *b = PICK(did), *c = PICK(things), *d = PICK(where),
               *e = PICK(when);
    const char *f = PICK(doing), *g = PICK(topics), *h = PICK(said), *i = PICK(feelings),
               *k = PICK(things);
    switch (fr_rng_below(r, 12)) {
    case 0: snprintf(t, n, "%s %s %s %s.", a, b, c, e); break;
    case 1: snprintf(t, n, "%s %s %s %s.", a, b, c, d); break;
    case 2: snprintf(t, n, "How can I %s %s?", f, d); break;
    case 3: snprintf(t, n, "What is the best way to %s?", f); break;
    case 4: snprintf(t, n, "%s %s.", g, h); break;
    case 5: snprintf(t, n, "%s. %s.", i, PICK(feelings)); break;
    case 6: snprintf(t, n, "%s %s %s and %s, but %s %s.", a, b, c, k, PICK(people), h); break;
    case 7: snprintf(t, n, "Why did %s want %s %s?", a, c, d); break;
    case 8: snprintf(t, n, "%s, %s", g, c); break;
    case 9: snprintf(t, n, "%s, said %s %s: %s %s.", i, a, e, g, h); break;
    case 10:
        snprintf(t, n, "%s: %d of %d people %s, %s", g, (int)fr_rng_below(r, 40) + 1,
                 (int)fr_rng_below(r, 900) + 50, f, d);
        break;
    default: snprintf(t, n, "To %s you need %s, %s and %s.", f, c, k, PICK(things)); break;
    }
}

void fr_sentence_make(uint64_t seed, uint64_t i, char text[320]) {
    fr_rng r = fr_rng_new(seed, fr_random_stream("sentences") + i);
    make(&r, text, 320);
}
