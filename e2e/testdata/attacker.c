// An exporter that attacks its host as only a language without a runtime can: with the stack of the machine, and with instructions
// that trap.
#include <stdint.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("nx1"), import_name(name)))
IMPORT("send") int32_t nx_send(uint32_t type, uint32_t id, const void *payload, uint32_t length);
IMPORT("recv") int32_t nx_recv(void *frame, uint32_t capacity, int32_t timeout_ms);

enum { START = 1, STOP, CALL, CANCEL };
enum { HELLO = 257, READY, ERROR, GROUPS, RESULT, DONE };

static void text(uint32_t type, uint32_t id, const char *s) { nx_send(type, id, s, strlen(s)); }

// Without memory of its own for each call: what grows is the stack that the host keeps for the module.
__attribute__((noinline)) static uint32_t deep(uint32_t n, volatile uint32_t *sink) {
  uint32_t below = n ? deep(n + 1, sink) : 0;
  *sink += below;
  return below + n;
}

// With memory of its own for each call: the stack runs out of the module's memory.
__attribute__((noinline)) static uint32_t wide(uint32_t n) {
  volatile uint32_t frame[1024];
  frame[n % 1024] = n;
  return (n ? wide(n + 1) : 0) + frame[(n + 1) % 1024];
}

int main(void) {
  static struct { uint32_t type, id, length; char payload[65536]; } f;
  static char deed[65536];
  static volatile uint32_t sink;
  text(HELLO, 0, "{\"abi\":1,\"name\":\"exporter-c\",\"kinds\":[\"exporter\"]}");
  for (;;) {
    if (nx_recv(&f, sizeof f, -1) < 0) return 1;
    if (f.type == START) {
      memcpy(deed, f.payload, f.length);
      text(READY, 0, "");
    }
    if (f.type == CALL) {
      if (strstr(deed, "\"trap\"")) __builtin_trap();
      if (strstr(deed, "\"deep\"")) sink = deep(1, &sink);
      if (strstr(deed, "\"wide\"")) sink = wide(1);
      if (strstr(deed, "\"loop\"")) for (;;) sink++;
      if (strstr(deed, "\"spin\"")) for (;;) nx_recv(&f, 0, 0);
      text(RESULT, f.id, "attacker_up 1\n");
    }
    if (f.type == STOP) {
      text(DONE, 0, "");
      return 0;
    }
  }
}
