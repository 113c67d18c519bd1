#include "common/stream/stream_landmarks.h"

void stream_landmarks_note(struct stream_landmarks *landmarks, const struct stream_landmark *message) {
    struct stream_landmark *newest = landmarks->count > 0 ? &landmarks->of[landmarks->count - 1] : NULL;
    if (newest != NULL && newest->era == message->era) {
        if (message->sequence > newest->sequence) {
            *newest = *message;
        }
        return;
    }
    if (landmarks->count == LANDMARKS_MAX) {
        landmarks->count--;
    }
    landmarks->of[landmarks->count++] = *message;
}

void stream_landmarks_settle(struct stream_landmarks *landmarks) {
    for (unsigned i = 1; i < landmarks->count; i++) {
        if (landmarks->of[i].sequence > landmarks->of[0].sequence) {
            landmarks->of[0] = landmarks->of[i];
        }
    }
    landmarks->count = landmarks->count > 0 ? 1 : 0;
}

uint64_t stream_landmarks_furthest(const struct stream_landmarks *landmarks) {
    uint64_t furthest = 0;
    for (unsigned i = 0; i < landmarks->count; i++) {
        furthest = landmarks->of[i].sequence > furthest ? landmarks->of[i].sequence : furthest;
    }
    return furthest;
}
