// rooms: waybill_cli
#include "cli_fixture.h"

TestSuite(commands, .timeout = 120);

enum { MIB = 1 << 20 };

/* ---- put ---- */

Test(commands, put_stores_one_file_under_the_key) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a.jpg", 1000);
    struct run run = run_waybill("put a.jpg photos/x/b");
    assert_run(run, CLI_OK);
    cr_assert_str_eq(run.out, "photos/x/b  version 1  STAGED  1000 bytes\n");
    cr_assert_str_eq(run.err, "");
    run_free(&run);
    run = run_waybill("--json stat photos/x/b");
    cr_assert_not_null(strstr(run.out, "\"contentType\":\"image/jpeg\""), "%s", run.out);
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, put_appends_names_where_there_are_several_files_or_a_folder) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 1);
    make_file("b", 2);
    struct run run = run_waybill("put ./a b photos/dir");
    assert_run(run, CLI_OK);
    cr_assert_str_eq(run.out, "photos/dir/a  version 1  STAGED  1 bytes\nphotos/dir/b  version 1  STAGED  2 bytes\n");
    run_free(&run);
    run = run_waybill("put %s/a photos/", fixture.directory);
    cr_assert_str_eq(run.out, "photos/a  version 1  STAGED  1 bytes\n");
    run_free(&run);
    run = run_waybill("put a photos");
    cr_assert_str_eq(run.out, "photos/a  version 2  STAGED  1 bytes\n");
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, put_reads_standard_input) {
    struct cli_fixture fixture = cli_fixture_start();
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "hello", 5), 5);
    close(ends[1]);
    struct run run = run_with_input(ends[0], "put - photos/in --content-type=text/plain");
    assert_run(run, CLI_OK);
    cr_assert_eq(fake_get(fixture.fake, uploads), 1);
    cr_assert_not_null(strstr(run.out, "5 bytes"));
    run_free(&run);
    cr_assert_eq(run_status("put - photos/"), CLI_USAGE);
    close(ends[0]);
    cli_fixture_stop(&fixture);
}

Test(commands, put_streams_large_files_and_prints_json_per_file) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("big", 2 * MIB + 1);
    struct run run = run_waybill("--json put big photos/big");
    assert_run(run, CLI_OK);
    json_t *answer = json_loads(run.out, 0, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(json_object_get(answer, "record"), "size")), "2097153");
    json_decref(answer);
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, put_types_attributes) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 1);
    struct run run = run_waybill("put a photos/a --attr s=x=y --attr n:int=-5 --attr d:double=0.5 --attr b:bool=true "
                                 "--attr t:time=2026-01-02T03:04:05.25+01:00 --attr r:bytes=aGk= --attr c:d:string=");
    assert_run(run, CLI_OK);
    run_free(&run);
    run = run_waybill("stat photos/a --json");
    json_t *record = json_loads(run.out, 0, NULL);
    char *attributes = json_dumps(json_object_get(record, "attributes"), JSON_COMPACT | JSON_SORT_KEYS);
    cr_assert_str_eq(attributes,
                     "{\"b\":{\"boolValue\":true},\"c:d\":{\"stringValue\":\"\"},\"d\":{\"doubleValue\":0.5},"
                     "\"n\":{\"intValue\":\"-5\"},\"r\":{\"bytesValue\":\"aGk=\"},\"s\":{\"stringValue\":"
                     "\"x=y\"},\"t\":{\"timestampValue\":\"2026-01-02T02:04:05.250Z\"}}");
    free(attributes);
    json_decref(record);
    run_free(&run);
    static const char *const bad[] = {"x",
                                      "=x",
                                      "n:int=1x",
                                      "n:int=99999999999999999999",
                                      "n:bool=yes",
                                      "n:time=2026",
                                      "n:time=2026-01-02T03:04:05",
                                      "n:bytes=a",
                                      "n:bytes=a$==",
                                      "n:kind=1",
                                      "n:double=nan"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(run_status("put a photos/a --attr %s", bad[i]), CLI_USAGE, "%s", bad[i]);
    }
    cli_fixture_stop(&fixture);
}

Test(commands, put_waits_until_stored) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 1);
    fake_set(fixture.fake, polls_until_stored, 3);
    struct run run = run_waybill("put a photos/a --wait=stored");
    assert_run(run, CLI_OK);
    cr_assert_not_null(strstr(run.out, "STORED"));
    run_free(&run);
    fake_set(fixture.fake, polls_until_stored, 1000000);
    cr_assert_eq(run_status("put a photos/a --wait stored --wait-timeout 20ms"), CLI_UNAVAILABLE);
    cr_assert_eq(run_status("put a photos/a --wait staged"), CLI_OK);
    cr_assert_eq(run_status("put a photos/a --wait soon"), CLI_USAGE);
    fake_set(fixture.fake, polls_until_stored, 0);
    fake_set(fixture.fake, payloads_fail, true);
    cr_assert_eq(run_status("put a photos/a --wait stored"), CLI_CONFLICT);
    cli_fixture_stop(&fixture);
}

Test(commands, put_honours_preconditions) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 1);
    cr_assert_eq(run_status("put a photos/a --if-version 0"), CLI_OK);
    struct run run = run_waybill("put a photos/a --if-version 0");
    assert_run(run, CLI_CONFLICT);
    cr_assert_str_eq(run.err, "waybill: put photos/a: ABORTED VERSION_MISMATCH: the record is at version 1\n"
                              "hint: look at what is there now, then use --if-version=1\n");
    run_free(&run);
    cr_assert_eq(run_status("put a photos/a --if-version 1"), CLI_OK);
    cli_fixture_stop(&fixture);
}

Test(commands, put_goes_on_after_a_failure_and_tells_the_first) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 1);
    struct run run = run_waybill("put missing a photos/");
    assert_run(run, CLI_FAILED);
    cr_assert_str_eq(run.out, "photos/a  version 1  STAGED  1 bytes\n");
    cr_assert_not_null(
        strstr(run.err, "waybill: put photos/missing: INTERNAL IO_ERROR: opening missing: No such file"));
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, announced_payloads_are_uploaded) {
    struct cli_fixture fixture = cli_fixture_start();
    fake_set(fixture.fake, persisted, -1);
    make_file("a", 100);
    struct run run = run_waybill("put --announce 100 photos/a");
    assert_run(run, CLI_OK);
    run.out[strcspn(run.out, "\n")] = '\0';
    struct run uploaded = run_waybill("upload a %s", run.out);
    assert_run(uploaded, CLI_OK);
    cr_assert_str_eq(uploaded.out, "photos/a  version 1  STAGED  100 bytes\n");
    run_free(&uploaded);
    run_free(&run);
    cr_assert_eq(run_status("upload a not-a-uuid"), CLI_USAGE);
    cr_assert_eq(run_status("upload a 6f1c53d8-6a0c-4b2e-9e3a-0d1f3f6f2c11"), CLI_NOT_FOUND);
    cr_assert_eq(run_status("put a photos/a --announce 5"), CLI_USAGE);
    cli_fixture_stop(&fixture);
}

Test(commands, put_makes_records_without_payload) {
    struct cli_fixture fixture = cli_fixture_start();
    struct run run = run_waybill("put --no-payload photos/a --attr k=v");
    assert_run(run, CLI_OK);
    cr_assert_str_eq(run.out, "photos/a  version 1  COMMITTED\n");
    run_free(&run);
    cli_fixture_stop(&fixture);
}

/* ---- get ---- */

Test(commands, get_writes_a_file_of_the_same_bytes) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("big", 2 * MIB + 1);
    cr_assert_eq(run_status("put big photos/dir/back"), CLI_OK);
    struct run run = run_waybill("get photos/dir/back");
    assert_run(run, CLI_OK);
    cr_assert_str_eq(run.out, "back  version 1  2097153 bytes from HOT, checksum right\n");
    cr_assert(file_is("back", 0, 2 * MIB + 1));
    run_free(&run);
    cr_assert_eq(run_status("get photos/dir/back %s", fixture.directory), CLI_OK);
    cr_assert_eq(run_status("get photos/dir/back other"), CLI_OK);
    cr_assert(file_is("other", 0, 2 * MIB + 1));
    cr_assert_eq(count_files(), 3);
    cli_fixture_stop(&fixture);
}

Test(commands, get_writes_bytes_alone_to_standard_output) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 200000);
    cr_assert_eq(run_status("put a photos/a"), CLI_OK);
    struct run run = run_waybill("get photos/a - --json");
    assert_run(run, CLI_OK);
    cr_assert_eq(run.out_size, 200000);
    cr_assert_eq((uint8_t)run.out[199999], (uint8_t)199999);
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, get_reads_ranges) {
    static const struct {
        const char *options;
        size_t first, size;
    } ranges[] = {
        {"--range 0-0", 0, 1},          {"--range=10-19", 10, 10}, {"--range 990-", 990, 10},
        {"--range=-5", 995, 5},         {"--offset 5", 5, 995},    {"--offset=-7", 993, 7},
        {"--offset 3 --limit 4", 3, 4}, {"--limit 8", 0, 8},       {"--offset 1000", 1000, 0},
    };
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 1000);
    cr_assert_eq(run_status("put a photos/a"), CLI_OK);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        cr_assert_eq(run_status("get photos/a back %s", ranges[i].options), CLI_OK, "%s", ranges[i].options);
        cr_assert(file_is("back", ranges[i].first, ranges[i].size), "%s", ranges[i].options);
    }
    static const char *const bad[] = {"--range 5",  "--range 9-1",           "--range a-b", "--range -",
                                      "--range -0", "--range 1-2 --limit 3", "--limit 0",   "--range=--5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(run_status("get photos/a back %s", bad[i]), CLI_USAGE, "%s", bad[i]);
    }
    cr_assert_eq(run_status("get photos/a back --offset 1001"), CLI_FAILED);
    cli_fixture_stop(&fixture);
}

Test(commands, a_failed_get_leaves_the_target_as_it_was) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 100);
    cr_assert_eq(run_status("put a photos/a"), CLI_OK);
    cr_assert_eq(run_status("put a photos/other"), CLI_OK);
    fake_set(fixture.fake, corrupt_chunk, true);
    struct run run = run_waybill("get photos/a new");
    assert_run(run, CLI_DATA_LOSS);
    cr_assert_not_null(strstr(run.err, "waybill: get photos/a: DATA_LOSS CHECKSUM_MISMATCH: "));
    run_free(&run);
    fake_set(fixture.fake, corrupt_chunk, true);
    cr_assert_eq(run_status("get photos/other a"), CLI_DATA_LOSS);
    cr_assert(file_is("a", 0, 100));
    cr_assert_eq(run_status("get photos/missing gone"), CLI_NOT_FOUND);
    cr_assert_eq(count_files(), 1);
    cli_fixture_stop(&fixture);
}

Test(commands, get_overwrites_and_gives_files_the_usual_mode) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 100);
    make_file("b", 7);
    umask(027);
    cr_assert_eq(run_status("put a photos/a"), CLI_OK);
    cr_assert_eq(run_status("get photos/a b"), CLI_OK);
    cr_assert(file_is("b", 0, 100));
    struct stat status;
    cr_assert_eq(stat("b", &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0640);
    cr_assert_eq(run_status("get photos/a /dev/null"), CLI_OK);
    cr_assert_eq(run_status("get photos/a no/such/place"), CLI_FAILED);
    cli_fixture_stop(&fixture);
}

Test(commands, a_closed_pipe_ends_output_quietly) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("big", 4 * MIB);
    cr_assert_eq(run_status("put big photos/big"), CLI_OK);
    static const char *const commands[][4] = {{"waybill", "get", "photos/big", "-"}, {"waybill", "ls", "photos", "-l"}};
    signal(SIGPIPE, SIG_IGN); /* as some shells' children have it */
    for (size_t i = 0; i < 2; i++) {
        int ends[2];
        cr_assert_eq(pipe(ends), 0);
        close(ends[0]);
        FILE *err = tmpfile();
        struct cli_streams streams = {.in = -1, .out = fdopen(ends[1], "w"), .err = err};
        cr_assert_eq(cli_run(4, (const char **)commands[i], &streams, NULL), CLI_OK);
        cr_assert_eq(ftell(err), 0);
        fclose(streams.out);
        fclose(err);
    }
    cli_fixture_stop(&fixture);
}

/* ---- the others ---- */

Test(commands, stat_prints_a_record) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a.txt", 3);
    cr_assert_eq(run_status("put a.txt photos/a.txt --attr k=v"), CLI_OK);
    struct run run = run_waybill("stat photos/a.txt");
    assert_run(run, CLI_OK);
    cr_assert_not_null(strstr(run.out, "record           photos/a.txt\nversion          1\n"));
    cr_assert_not_null(strstr(run.out, "attribute        k=v\n"));
    run_free(&run);
    cr_assert_eq(run_status("stat photos/a.txt --version 7"), CLI_NOT_FOUND);
    cr_assert_eq(run_status("stat photos/a.txt --version 0"), CLI_USAGE);
    cr_assert_eq(run_status("stat photos"), CLI_USAGE);
    cli_fixture_stop(&fixture);
}

Test(commands, ls_lists_buckets_and_records) {
    struct cli_fixture fixture = cli_fixture_start();
    fake_add_bucket(fixture.fake, "docs", -1);
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "%c/k%d", i < 3 ? 'a' : 'b', i);
        fake_add_object(fixture.fake, "photos", key, bytes_of("xyz", 3));
    }
    struct run run = run_waybill("ls");
    cr_assert_str_eq(run.out, "photos\ndocs\n");
    run_free(&run);
    run = run_waybill("ls photos/b/");
    cr_assert_str_eq(run.out, "b/k3\nb/k4\n");
    run_free(&run);
    run = run_waybill("ls photos --limit 2");
    cr_assert_str_eq(run.out, "a/k0\na/k1\n");
    cr_assert_str_eq(run.err, "");
    run_free(&run);
    run = run_waybill("ls photos --page-size 2 --all");
    cr_assert_str_eq(run.out, "a/k0\na/k1\na/k2\nb/k3\nb/k4\n");
    cr_assert_str_eq(run.err, "");
    run_free(&run);
    run = run_waybill("ls -l photos/a/k0");
    cr_assert_str_eq(run.out, "STAGED                        3        1  -                         a/k0\n");
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, ls_prints_a_page_of_json_per_line) {
    struct cli_fixture fixture = cli_fixture_start();
    for (int i = 0; i < 5; i++) {
        fake_add_object(fixture.fake, "photos", (char[]){'k', (char)('0' + i), '\0'}, bytes_of("x", 1));
    }
    struct run run = run_waybill("--json ls photos --page-size 2 --all");
    size_t records = 0;
    size_t lines = 0;
    for (char *rest = run.out, *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0'; lines++) {
        json_t *page = json_loads(line, 0, NULL);
        records += json_array_size(json_object_get(page, "records"));
        json_decref(page);
    }
    cr_assert_eq(lines, 3);
    cr_assert_eq(records, 5);
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, rm_deletes_and_ls_shows_tombstones_on_request) {
    struct cli_fixture fixture = cli_fixture_start();
    fake_add_object(fixture.fake, "photos", "a", bytes_of("x", 1));
    struct run run = run_waybill("rm photos/a photos/none --reason because");
    assert_run(run, CLI_NOT_FOUND);
    cr_assert_str_eq(run.out, "deleted photos/a  version 2\n");
    cr_assert_not_null(strstr(run.err, "waybill: rm photos/none: NOT_FOUND RECORD_NOT_FOUND"));
    run_free(&run);
    run = run_waybill("ls photos");
    cr_assert_str_eq(run.out, "");
    run_free(&run);
    run = run_waybill("ls photos -d");
    cr_assert_str_eq(run.out, "a\n");
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, buckets_are_created_listed_and_shown) {
    struct cli_fixture fixture = cli_fixture_start();
    struct run run = run_waybill("bucket create docs --storage-class hot-and-cold --cold-after 30s --inline-max 1KiB "
                                 "--max-versions 3 --delete-retention 1h");
    assert_run(run, CLI_OK);
    cr_assert_str_eq(run.out, "created bucket docs\n");
    run_free(&run);
    cr_assert_eq(run_status("bucket create docs"), CLI_CONFLICT);
    run = run_waybill("bucket get docs --json");
    cr_assert_str_eq(run.out, "{\"name\":\"docs\",\"storage\":{\"storageClass\":\"STORAGE_CLASS_HOT_AND_COLD\","
                              "\"coldAfter\":\"30s\",\"maxVersions\":3},\"inlineMaxBytes\":\"1024\","
                              "\"deleteRetention\":\"3600s\"}\n");
    run_free(&run);
    run = run_waybill("bucket list");
    cr_assert_str_eq(run.out, "photos\ndocs\n");
    run_free(&run);
    cr_assert_eq(run_status("bucket create Docs"), CLI_USAGE);
    cr_assert_eq(run_status("bucket create docs2 --storage-class lukewarm"), CLI_USAGE);
    cr_assert_eq(run_status("bucket create docs2 --cold-after soon"), CLI_USAGE);
    cr_assert_eq(run_status("bucket get none"), CLI_NOT_FOUND);
    cr_assert_eq(run_status("bucket frob"), CLI_USAGE);
    cr_assert_eq(run_status("bucket get docs/x"), CLI_USAGE);
    cr_assert_eq(run_status("bucket update docs"), CLI_USAGE);
    cr_assert_eq(run_status("bucket update docs --if-version 1"), CLI_USAGE);
    cli_fixture_stop(&fixture);
}

Test(commands, status_asks_both_services) {
    struct cli_fixture fixture = cli_fixture_start();
    struct run run = run_waybill("status");
    assert_run(run, CLI_OK);
    cr_assert_not_null(strstr(run.out, "metadata  version fake"));
    cr_assert_not_null(strstr(run.out, "object  version fake"));
    run_free(&run);
    run = run_waybill("status --json --object 127.0.0.1:1");
    assert_run(run, CLI_UNAVAILABLE);
    json_t *whole = json_loads(run.out, 0, NULL);
    cr_assert_not_null(json_object_get(json_object_get(whole, "metadata"), "version"));
    cr_assert_str_eq(
        json_string_value(json_object_get(json_object_get(json_object_get(whole, "object"), "error"), "code")),
        "UNAVAILABLE");
    json_decref(whole);
    run_free(&run);
    cli_fixture_stop(&fixture);
}

/* ---- errors ---- */

Test(commands, each_kind_of_failure_has_its_status) {
    static const struct {
        enum error_code code;
        int status;
    } kinds[] = {
        {ERROR_INVALID_ARGUMENT, CLI_FAILED},
        {ERROR_NOT_FOUND, CLI_NOT_FOUND},
        {ERROR_ABORTED, CLI_CONFLICT},
        {ERROR_ALREADY_EXISTS, CLI_CONFLICT},
        {ERROR_FAILED_PRECONDITION, CLI_CONFLICT},
        {ERROR_UNAVAILABLE, CLI_UNAVAILABLE},
        {ERROR_DEADLINE_EXCEEDED, CLI_UNAVAILABLE},
        {ERROR_DATA_LOSS, CLI_DATA_LOSS},
        {ERROR_RESOURCE_EXHAUSTED, CLI_EXHAUSTED},
        {ERROR_PERMISSION_DENIED, CLI_DENIED},
        {ERROR_UNAUTHENTICATED, CLI_DENIED},
        {ERROR_INTERNAL, CLI_FAILED},
    };
    struct cli_fixture fixture = cli_fixture_start();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        fake_fail(fixture.fake, FAKE_METADATA "GetRecord", 100, kinds[i].code, "REASON");
        cr_assert_eq(run_status("stat photos/a"), kinds[i].status, "%s", error_code_name(kinds[i].code));
    }
    cli_fixture_stop(&fixture);
}

Test(commands, errors_are_json_where_asked) {
    struct cli_fixture fixture = cli_fixture_start();
    struct run run = run_waybill("--json put --no-payload none-such/a");
    assert_run(run, CLI_NOT_FOUND);
    cr_assert_str_eq(run.out, "");
    json_t *whole = json_loads(run.err, 0, NULL);
    json_t *error = json_object_get(whole, "error");
    cr_assert_str_eq(json_string_value(json_object_get(error, "code")), "NOT_FOUND");
    cr_assert_str_eq(json_string_value(json_object_get(error, "reason")), "BUCKET_NOT_FOUND");
    cr_assert_str_eq(json_string_value(json_object_get(error, "subject")), "none-such/a");
    cr_assert_not_null(json_object_get(error, "hint"));
    json_decref(whole);
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, an_error_that_quotes_broken_text_stays_json) {
    struct cli_fixture fixture = cli_fixture_start();
    struct run run = run_waybill("--json put a\xff photos/");
    assert_run(run, CLI_USAGE);
    json_t *whole = json_loads(run.err, 0, NULL);
    cr_assert_not_null(whole, "%s", run.err);
    json_decref(whole);
    run_free(&run);
    cli_fixture_stop(&fixture);
}

Test(commands, wrong_usage_is_told_without_asking_a_service) {
    static const char *const lines[] = {"",
                                        "frob",
                                        "put",
                                        "put a",
                                        "get",
                                        "get x",
                                        "--frob ls",
                                        "ls --frob",
                                        "ls a b",
                                        "rm",
                                        "rm photos",
                                        "watch --from 0",
                                        "status extra",
                                        "ls Bad_Name",
                                        "ls --timeout x",
                                        "ls --all --limit 1",
                                        "ls --limit 0",
                                        "ls --filter x",
                                        "ls --delimiter /",
                                        "update photos/a",
                                        "update photos --set a=1",
                                        "undelete photos/a photos/b --version 1",
                                        "versions photos",
                                        "put a photos/../b",
                                        "put a b photos/x --request-id x"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct run run = run_waybill("%s", lines[i]);
        assert_run(run, CLI_USAGE);
        cr_assert_str_eq(run.out, "");
        cr_assert_not_null(strstr(run.err, "hint: waybill help"), "%s: %s", lines[i], run.err);
        run_free(&run);
    }
}

Test(commands, commands_of_two_words_have_help_in_common) {
    static const char *const lines[] = {"help bucket", "bucket --help", "bucket -h"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct run run = run_waybill("%s", lines[i]);
        assert_run(run, CLI_OK);
        cr_assert_not_null(strstr(run.out, "bucket update NAME"), "%s", run.out);
        cr_assert_null(strstr(run.out, "watch"), "%s", run.out);
        run_free(&run);
    }
    struct run run = run_waybill("bucket");
    assert_run(run, CLI_USAGE);
    cr_assert_not_null(strstr(run.err, "hint: waybill help"), "%s", run.err);
    run_free(&run);
}

Test(commands, options_go_before_and_after_the_command) {
    struct cli_fixture fixture = cli_fixture_start();
    unsetenv("WAYBILL_METADATA");
    cr_assert_eq(run_status("--metadata=%s ls --quiet", fixture.fake->address), CLI_OK);
    cr_assert_eq(run_status("ls --metadata %s", fixture.fake->address), CLI_OK);
    cr_assert_eq(run_status("--metadata 127.0.0.1:1 ls --metadata %s", fixture.fake->address), CLI_OK);
    cr_assert_eq(run_status("--metadata 127.0.0.1:1 ls"), CLI_UNAVAILABLE);
    cli_fixture_stop(&fixture);
}

Test(commands, quiet_says_nothing_of_success) {
    struct cli_fixture fixture = cli_fixture_start();
    make_file("a", 1);
    struct run run = run_waybill("-q put a photos/a");
    assert_run(run, CLI_OK);
    cr_assert_str_eq(run.out, "");
    cr_assert_str_eq(run.err, "");
    run_free(&run);
    cli_fixture_stop(&fixture);
}
