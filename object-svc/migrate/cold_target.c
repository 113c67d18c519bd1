#include "object-svc/migrate/cold_target.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(struct error *error, const char *what) {
    return error_set_field(error, "target", "BAD_TARGET",
                           "%s; a target is file:///path or s3+https://host/bucket[/prefix][?region=...]", what);
}

/* ---- parts of a URL, by libcurl ---- */

static const char *part_of(CURLU *url, CURLUPart part, unsigned flags, struct arena *arena) {
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK || text == NULL) {
        return "";
    }
    const char *copy = arena_strdup(arena, text);
    curl_free(text);
    return copy;
}

static char *unescaped(const char *text, struct arena *arena) {
    char *raw = curl_easy_unescape(NULL, text, 0, NULL);
    char *copy = arena_strdup(arena, raw != NULL ? raw : "");
    curl_free(raw);
    return copy;
}

/* ---- file: ---- */

static bool take_directory(CURLU *url, struct arena *arena, struct cold_store_options *options, struct error *error) {
    const char *path = part_of(url, CURLUPART_PATH, CURLU_URLDECODE, arena);
    if (path[0] != '/' || strcmp(path, "/") == 0) {
        return refuse(error, "the path must be absolute");
    }
    options->backend = "directory";
    options->directory = path;
    return true;
}

/* ---- s3+https: ---- */

static bool take_setting(const char *name, const char *value, struct cold_s3_options *s3, struct error *error) {
    const struct {
        const char *name;
        const char **into;
    } texts[] = {
        {"region", &s3->client.region},
        {"access_key_file", &s3->client.access_key_file},
        {"secret_key_file", &s3->client.secret_key_file},
        {"session_token_file", &s3->client.session_token_file},
        {"ca_file", &s3->client.ca_file},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].into = value;
            return true;
        }
    }
    if (strcmp(name, "path_style") == 0 && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)) {
        s3->client.path_style = strcmp(value, "true") == 0;
        return true;
    }
    return refuse(error, "the query holds a setting that there is not");
}

static bool take_query(CURLU *url, struct arena *arena, struct cold_s3_options *s3, struct error *error) {
    char *rest = arena_strdup(arena, part_of(url, CURLUPART_QUERY, 0, arena));
    for (char *word; (word = strsep(&rest, "&")) != NULL;) {
        char *value = strchr(word, '=');
        if (*word == '\0') {
            continue;
        }
        if (value == NULL) {
            return refuse(error, "the query is not name=value");
        }
        *value++ = '\0';
        if (!take_setting(word, unescaped(value, arena), s3, error)) {
            return false;
        }
    }
    return true;
}

static bool take_s3(CURLU *url, const char *scheme, struct arena *arena, struct cold_store_options *options,
                    const char *uploads_directory, struct error *error) {
    struct cold_s3_options *s3 = arena_zalloc(arena, sizeof *s3);
    const char *port = part_of(url, CURLUPART_PORT, 0, arena);
    char *bucket = arena_strdup(arena, part_of(url, CURLUPART_PATH, CURLU_URLDECODE, arena) + 1);
    char *prefix = strchr(bucket, '/');
    *s3 = *options->s3;
    if (prefix != NULL) {
        *prefix++ = '\0';
        size_t size = strlen(prefix);
        if (size > 0 && prefix[size - 1] == '/') {
            prefix[size - 1] = '\0';
        }
    }
    if (*bucket == '\0') {
        return refuse(error, "it names no bucket");
    }
    s3->client.endpoint = arena_printf(arena, "%s://%s%s%s", scheme, part_of(url, CURLUPART_HOST, 0, arena),
                                       *port != '\0' ? ":" : "", port);
    s3->client.bucket = bucket;
    s3->prefix = prefix != NULL ? prefix : "";
    s3->uploads_directory = uploads_directory;
    options->backend = "s3";
    options->s3 = s3;
    return take_query(url, arena, s3, error);
}

static bool take_url(CURLU *url, const char *text, const char *uploads_directory, struct arena *arena,
                     struct cold_store_options *options, struct error *error) {
    if (strlen(text) > COLD_TARGET_MAX_BYTES ||
        curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        return refuse(error, "it is no URL");
    }
    if (*part_of(url, CURLUPART_USER, 0, arena) != '\0' || *part_of(url, CURLUPART_FRAGMENT, 0, arena) != '\0') {
        return refuse(error, "it has a user or a fragment");
    }
    const char *scheme = part_of(url, CURLUPART_SCHEME, 0, arena);
    if (strcmp(scheme, "file") == 0) {
        return take_directory(url, arena, options, error);
    }
    if (strcmp(scheme, "s3+https") == 0 || strcmp(scheme, "s3+http") == 0) {
        return take_s3(url, scheme + strlen("s3+"), arena, options, uploads_directory, error);
    }
    return refuse(error, "its scheme is not known");
}

bool cold_target_parse(const char *text, const struct cold_store_options *configured, const char *uploads_directory,
                       struct arena *arena, struct cold_store_options *options, struct error *error) {
    CURLU *url = curl_url();
    if (url == NULL) {
        abort();
    }
    *options = *configured;
    bool good = take_url(url, text, uploads_directory, arena, options, error);
    curl_url_cleanup(url);
    return good;
}

const char *cold_target_place(const struct cold_store_options *options, struct arena *arena) {
    if (strcmp(options->backend, "directory") == 0) {
        return arena_printf(arena, "file://%s", options->directory);
    }
    const struct cold_s3_options *s3 = options->s3;
    return arena_printf(arena, "s3+%s/%s%s%s", s3->client.endpoint, s3->client.bucket, *s3->prefix != '\0' ? "/" : "",
                        s3->prefix);
}
