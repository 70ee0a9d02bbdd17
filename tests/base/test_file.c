/* test_file.c: reading, mapping, listing, and writing that never leaves half a file. */
#include "testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void expect_content(const char *path, const char *text) {
    char *data;
    size_t bytes;
    assert_int_equal(fr_read_file(path, 0, &data, &bytes), FR_OK);
    assert_int_equal(bytes, strlen(text));
    assert_string_equal(data, text);
    fr_free(data);
}

static size_t files_in_test_dir(void) {
    char **names;
    size_t count;
    assert_int_equal(fr_list_dir(in_test_dir(""), &names, &count), FR_OK);
    fr_list_free(names, count);
    return count;
}

static void put(const char *name, const char *text) {
    assert_int_equal(fr_write_file(in_test_dir(name), text, strlen(text)), FR_OK);
}

static int clean(void **state) {
    (void)state;
    remove_test_dir();
    mkdir(in_test_dir(""), 0700);
    return 0;
}

static void paths(void **state) {
    (void)state;
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < FR_COUNT(joins); i++) {
        char *p = fr_path_join(joins[i][0], joins[i][1]);
        assert_string_equal(p, joins[i][2]);
        fr_free(p);
    }
    assert_true(fr_path_has_suffix("model.gguf", ".gguf"));
    assert_false(fr_path_has_suffix("guf", ".gguf"));
    assert_true(fr_path_is_dir("/"));
    assert_false(fr_path_is_dir("/no/such"));
    assert_true(fr_path_exists("/"));
    assert_false(fr_path_exists("/no/such"));
}

static void folders_are_made_and_listed(void **state) {
    (void)state;
    assert_int_equal(fr_make_dirs(in_test_dir("a//b/c/")), FR_OK);
    assert_int_equal(fr_make_dirs(in_test_dir("a/b/c")), FR_OK);
    assert_true(fr_path_is_dir(in_test_dir("a/b/c")));
    put("file", "x");
    assert_fails(fr_make_dirs(in_test_dir("file")), FR_IO, "in the way");
    assert_fails(fr_make_dirs(in_test_dir("file/below")), FR_IO, "file");
    assert_fails(fr_make_dirs(""), FR_INVALID, "name");
    put("B", "x");
    put(".hidden", "x");
    char **names;
    size_t count;
    assert_int_equal(fr_list_dir(in_test_dir(""), &names, &count), FR_OK);
    assert_int_equal(count, 4);
    static const char *const expected[] = {".hidden", "B", "a", "file"};
    for (size_t i = 0; i < 4; i++) assert_string_equal(names[i], expected[i]);
    fr_list_free(names, count);
    assert_int_equal(fr_list_dir(in_test_dir("a/b/c"), &names, &count), FR_OK);
    assert_int_equal(count, 0);
    fr_list_free(names, count);
    assert_fails(fr_list_dir(in_test_dir("none"), &names, &count), FR_IO, "none");
    for (int n = 1; n <= 5; n++) {
        fr_memory_fail_after(n);
        assert_int_equal(fr_list_dir(in_test_dir(""), &names, &count), FR_NOMEM);
        assert_null(names);
    }
    fr_memory_fail_after(0);
}

static void whole_files_and_limits(void **state) {
    (void)state;
    char *data;
    size_t bytes;
    put("five", "12345");
    expect_content(in_test_dir("five"), "12345");
    assert_int_equal(fr_read_file(in_test_dir("five"), 5, &data, &bytes), FR_OK);
    fr_free(data);
    assert_fails(fr_read_file(in_test_dir("five"), 4, &data, &bytes), FR_FORMAT,
                 "longer than the 4");
    assert_null(data);
    put("empty", "");
    expect_content(in_test_dir("empty"), "");
    assert_fails(fr_read_file(in_test_dir(""), 0, &data, &bytes), FR_IO, "is a folder");
    assert_fails(fr_read_file("/no/such/file", 0, &data, &bytes), FR_IO, "/no/such/file");
    assert_fails(fr_read_file("/dev/zero", 100000, &data, &bytes), FR_FORMAT, "longer than");
    assert_int_equal(fr_read_file("/proc/self/status", 0, &data, &bytes), FR_OK); /* size 0 told */
    assert_true(bytes > 100 && strlen(data) == bytes);
    fr_free(data);
    fr_memory_fail_after(1);
    assert_int_equal(fr_read_file(in_test_dir("five"), 0, &data, &bytes), FR_NOMEM);
}

static void pipes_are_read_to_their_end(void **state) {
    (void)state;
    char path[512];
    strcpy(path, in_test_dir("pipe"));
    assert_int_equal(mkfifo(path, 0600), 0);
    fr_map map;
    assert_fails(fr_map_open(path, &map), FR_IO, "not a plain file"); /* and does not hang */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    char big[20000];
    memset(big, 'x', sizeof big);
    assert_int_equal(write(ends[1], big, sizeof big), sizeof big);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    char *data;
    size_t bytes;
    assert_int_equal(fr_read_file(path, 0, &data, &bytes), FR_OK);
    assert_int_equal(bytes, sizeof big);
    assert_memory_equal(data, big, bytes);
    fr_free(data);
    close(ends[0]);
}

static void maps(void **state) {
    (void)state;
    fr_map m;
    put("file", "hello");
    assert_int_equal(fr_map_open(in_test_dir("file"), &m), FR_OK);
    assert_int_equal(m.bytes, 5);
    assert_memory_equal(m.data, "hello", 5);
    fr_map_close(&m);
    assert_int_equal(m.bytes, 0);
    fr_map_close(&m);
    put("empty", "");
    assert_int_equal(fr_map_open(in_test_dir("empty"), &m), FR_OK);
    assert_non_null(m.data);
    assert_int_equal(m.bytes, 0);
    fr_map_close(&m);
    assert_fails(fr_map_open(in_test_dir(""), &m), FR_IO, "is a folder");
    assert_fails(fr_map_open(in_test_dir("none"), &m), FR_IO, "none");
    fr_map_close(&m); /* also after a failure */
}

static void a_commit_replaces_and_a_close_does_not(void **state) {
    (void)state;
    fr_writer *w;
    put("file", "old");
    chmod(in_test_dir("file"), 0640);
    assert_int_equal(fr_writer_open(in_test_dir("file"), &w), FR_OK);
    assert_int_equal(fr_writer_write(w, "new", 3), FR_OK);
    assert_int_equal(fr_writer_offset(w), 3);
    expect_content(in_test_dir("file"), "old");
    fr_writer_close(w);
    expect_content(in_test_dir("file"), "old");
    assert_int_equal(files_in_test_dir(), 1);
    assert_int_equal(fr_writer_open(in_test_dir("file"), &w), FR_OK);
    assert_int_equal(fr_writer_write(w, "new", 3), FR_OK);
    assert_int_equal(fr_writer_commit(w), FR_OK);
    expect_content(in_test_dir("file"), "new");
    assert_int_equal(files_in_test_dir(), 1);
    struct stat st;
    assert_int_equal(stat(in_test_dir("file"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    fr_writer_close(NULL);
}

static void long_and_short_pieces_keep_their_order(void **state) {
    (void)state;
    size_t all = 0, most = 700000;
    uint8_t *expected = fr_alloc(FR_MEM_OTHER, most + 200000);
    fr_writer *w;
    assert_int_equal(fr_writer_open(in_test_dir("big"), &w), FR_OK);
    for (size_t piece = 0; all < most; piece = (piece * 7 + 13) % 150001) {
        for (size_t i = 0; i < piece; i++) expected[all + i] = (uint8_t)(all + i * 31);
        assert_int_equal(fr_writer_write(w, expected + all, piece), FR_OK);
        all += piece;
        assert_int_equal(fr_writer_offset(w), all);
    }
    assert_int_equal(fr_writer_commit(w), FR_OK);
    char *data;
    size_t bytes;
    assert_int_equal(fr_read_file(in_test_dir("big"), 0, &data, &bytes), FR_OK);
    assert_int_equal(bytes, all);
    assert_memory_equal(data, expected, all);
    fr_free(data);
    fr_free(expected);
}

/* Killed in the middle: the old file is there, whole. */
static void a_killed_writer_leaves_the_old_file(void **state) {
    (void)state;
    put("file", "old");
    pid_t child = fork();
    if (child == 0) {
        fr_writer *w;
        static char junk[300000];
        if (fr_writer_open(in_test_dir("file"), &w) == FR_OK) {
            fr_writer_write(w, junk, sizeof junk);
            kill(getpid(), SIGKILL);
        }
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    expect_content(in_test_dir("file"), "old");
}

/* A limit on the file's size stands in for a full disk. */
static void a_full_disk_is_told_and_leaves_the_old_file(void **state) {
    (void)state;
    put("file", "old");
    struct rlimit old, tight;
    getrlimit(RLIMIT_FSIZE, &old);
    tight = old;
    tight.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    static char junk[150000];
    fr_writer *w;
    assert_int_equal(fr_writer_open(in_test_dir("file"), &w), FR_OK);
    fr_status first = fr_writer_write(w, junk, sizeof junk);
    fr_status whole = fr_write_file(in_test_dir("file"), junk, sizeof junk);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_fails(whole, FR_IO, "File too large");
    fr_status second = fr_writer_write(w, "x", 1); /* there is room again, but a piece is missing */
    fr_status commit = fr_writer_commit(w);
    assert_int_equal(first, FR_IO);
    assert_int_equal(second, FR_OK);
    assert_int_equal(commit, FR_IO);
    expect_content(in_test_dir("file"), "old");
    assert_int_equal(files_in_test_dir(), 1);
}

static void places_that_cannot_be_written(void **state) {
    (void)state;
    fr_writer *w;
    assert_fails(fr_writer_open("/no/such/dir/file", &w), FR_IO, "/no/such/dir/file");
    assert_null(w);
    assert_fails(fr_writer_open(in_test_dir(""), &w), FR_IO, "is a folder");
    for (int n = 1; n <= 3; n++) {
        fr_memory_fail_after(n);
        assert_int_equal(fr_writer_open(in_test_dir("file"), &w), FR_NOMEM);
    }
    fr_memory_fail_after(0);
    assert_int_equal(files_in_test_dir(), 0);
    /* A device stays a device. */
    assert_int_equal(fr_write_file("/dev/null", "x", 1), FR_OK);
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void a_link_stays_a_link(void **state) {
    (void)state;
    char target[512];
    put("target", "old");
    strcpy(target, in_test_dir("target"));
    assert_int_equal(symlink(target, in_test_dir("link")), 0);
    put("link", "new");
    expect_content(target, "new");
    struct stat st;
    assert_int_equal(lstat(in_test_dir("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

static void two_writers_do_not_meet(void **state) {
    (void)state;
    fr_writer *a, *b;
    assert_int_equal(fr_writer_open(in_test_dir("file"), &a), FR_OK);
    assert_int_equal(fr_writer_open(in_test_dir("file"), &b), FR_OK);
    fr_writer_write(a, "from a", 6);
    fr_writer_write(b, "b", 1);
    assert_int_equal(fr_writer_commit(a), FR_OK);
    assert_int_equal(fr_writer_commit(b), FR_OK);
    expect_content(in_test_dir("file"), "b");
    assert_int_equal(files_in_test_dir(), 1);
}

static int end(void **state) {
    (void)state;
    remove_test_dir();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test_setup(folders_are_made_and_listed, clean),
        cmocka_unit_test_setup(whole_files_and_limits, clean),
        cmocka_unit_test_setup(pipes_are_read_to_their_end, clean),
        cmocka_unit_test_setup(maps, clean),
        cmocka_unit_test_setup(a_commit_replaces_and_a_close_does_not, clean),
        cmocka_unit_test_setup(long_and_short_pieces_keep_their_order, clean),
        cmocka_unit_test_setup(a_killed_writer_leaves_the_old_file, clean),
        cmocka_unit_test_setup(a_full_disk_is_told_and_leaves_the_old_file, clean),
        cmocka_unit_test_setup(places_that_cannot_be_written, clean),
        cmocka_unit_test_setup(a_link_stays_a_link, clean),
        cmocka_unit_test_setup(two_writers_do_not_meet, clean),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
