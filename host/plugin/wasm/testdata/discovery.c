// A discovery without any SDK. Build: clang --target=wasm32-wasi --sysroot=/usr -O2 discovery.c -o sd-c.wasm
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("nx1"), import_name(name)))
IMPORT("send") int32_t nx_send(uint32_t type, uint32_t id, const void *payload, uint32_t length);
IMPORT("recv") int32_t nx_recv(void *frame, uint32_t capacity, int32_t timeout_ms);

enum { START = 1, STOP, CALL, CANCEL };
enum { HELLO = 257, READY, ERROR, GROUPS, RESULT, DONE };
enum { EAGAIN_ = -6, HEADER = 12 };

static void text(uint32_t type, uint32_t id, const char *s) { nx_send(type, id, s, strlen(s)); }

int main(void) {
  static struct { uint32_t type, id, length; char payload[65536]; } f;
  uint32_t run = 0, ticks = 0;  // the call that runs the discovery, 0 for none
  text(HELLO, 0, "{\"abi\":1,\"name\":\"sd-c\",\"kinds\":[\"discovery\"],\"keys\":[\"c_sd_configs\"]}");
  for (;;) {
    int32_t n = nx_recv(&f, sizeof f, 50);  // wakes every 50 ms to look for changes
    if (n == EAGAIN_ && run) {
      char groups[128];
      snprintf(groups, sizeof groups, "[{\"source\":\"c\",\"targets\":[\"10.0.0.%u:9100\"]}]", ++ticks);
      text(GROUPS, run, groups);
    }
    if (n == EAGAIN_) continue;
    if (n < HEADER) return 1;
    if (f.type == START) text(READY, 0, "");
    if (f.type == CALL) run = f.id;  // the only method of a discovery is run
    if (f.type == CANCEL && f.id == run) text(RESULT, run, ""), run = 0;
    if (f.type == STOP) {
      if (run) text(RESULT, run, "");
      text(DONE, 0, "");
      return 0;
    }
  }
}
