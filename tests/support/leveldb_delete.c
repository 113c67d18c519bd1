/* leveldb_delete DIRECTORY KEY: takes a key, in hexadecimal, out of a LevelDB, as damage that LevelDB
 * itself cannot notice. */
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX_BYTES = 256 };

static size_t read_hex(const char *hex, char *key) {
    size_t size = strlen(hex) / 2;
    for (size_t i = 0; i < size && i < KEY_MAX_BYTES; i++) {
        char digits[] = {hex[2 * i], hex[2 * i + 1], '\0'};
        key[i] = (char)strtoul(digits, NULL, 16);
    }
    return size;
}

int main(int argc, char **argv) {
    char key[KEY_MAX_BYTES];
    char *message = NULL;
    if (argc != 3 || strlen(argv[2]) > (size_t)2 * KEY_MAX_BYTES) {
        return 2;
    }
    leveldb_options_t *options = leveldb_options_create();
    leveldb_writeoptions_t *write = leveldb_writeoptions_create();
    leveldb_t *db = leveldb_open(options, argv[1], &message);
    if (db != NULL) {
        leveldb_delete(db, write, key, read_hex(argv[2], key), &message);
        leveldb_close(db);
    }
    if (message != NULL) {
        fprintf(stderr, "%s\n", message);
    }
    leveldb_writeoptions_destroy(write);
    leveldb_options_destroy(options);
    return message == NULL ? 0 : 1;
}
