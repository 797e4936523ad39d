/* MIOpen starts its compiler through popen, with paths in the command that were fixed when it was built. Preloaded, this
   puts others in their place: POPEN_REPLACE holds pairs of what stands there and what is meant, a tab after each. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *replace(const char *text, const char *old, size_t old_length, const char *new, size_t new_length) {
  size_t room = strlen(text) + 1;
  for (const char *at = text; (at = memmem(at, strlen(at), old, old_length)); at += old_length) room += new_length;
  char *changed = malloc(room), *end = changed;
  for (const char *at; (at = memmem(text, strlen(text), old, old_length)); text = at + old_length) {
    end = mempcpy(end, text, at - text);
    end = mempcpy(end, new, new_length);
  }
  strcpy(end, text);
  return changed;
}

FILE *popen(const char *command, const char *mode) {
  FILE *(*start)(const char *, const char *) = dlsym(RTLD_NEXT, "popen");
  char *text = strdup(command);
  for (const char *pair = getenv("POPEN_REPLACE"); pair && *pair;) {
    size_t old_length = strcspn(pair, "\t");
    const char *new = pair + old_length + 1;
    size_t new_length = strcspn(new, "\t");
    char *changed = replace(text, pair, old_length, new, new_length);
    free(text);
    text = changed;
    pair = new + new_length + 1;
  }
  FILE *stream = start(text, mode);
  free(text);
  return stream;
}
