#include "object-svc/cold/s3/s3_credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool blame(struct error *error, const char *field, const char *message) {
    error_set(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS", "%s: %s", field, message);
    snprintf(error->field, sizeof error->field, "%s", field);
    return false;
}

/* The first line of the file. */
static bool read_line(const char *file, const char *field, char out[S3_SECRET_BYTES], struct error *error) {
    FILE *in = fopen(file, "re");
    if (in == NULL) {
        char message[256];
        snprintf(message, sizeof message, "cannot open %.200s: %m", file);
        return blame(error, field, message);
    }
    if (fgets(out, S3_SECRET_BYTES, in) == NULL) {
        out[0] = '\0';
    }
    bool failed = ferror(in) != 0;
    fclose(in);
    out[strcspn(out, " \t\r\n")] = '\0';
    return !failed || blame(error, field, "the file cannot be read");
}

static bool read_secret(const char *file, const char *field, const char *variable, bool required,
                        char out[S3_SECRET_BYTES], struct error *error) {
    out[0] = '\0';
    if (*file == '\0') {
        const char *value = getenv(variable);
        snprintf(out, S3_SECRET_BYTES, "%s", value == NULL ? "" : value);
    } else if (!read_line(file, field, out, error)) {
        return false;
    }
    if (out[0] == '\0' && required) {
        char message[128];
        snprintf(message, sizeof message, "the file is empty, or not named and %s is not set", variable);
        return blame(error, field, message);
    }
    return true;
}

bool s3_credentials_read(const struct s3_credential_files *files, struct s3_credentials *out, struct error *error) {
    return read_secret(files->access_key, "s3_access_key_file", "AWS_ACCESS_KEY_ID", true, out->access_key, error) &&
           read_secret(files->secret_key, "s3_secret_key_file", "AWS_SECRET_ACCESS_KEY", true, out->secret_key,
                       error) &&
           read_secret(files->session_token, "s3_session_token_file", "AWS_SESSION_TOKEN", false, out->session_token,
                       error);
}

void s3_credentials_wipe(struct s3_credentials *credentials) {
    explicit_bzero(credentials, sizeof *credentials);
}
