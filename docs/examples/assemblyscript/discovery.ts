// A discovery in AssemblyScript, written from docs/abi.md alone: it counts up the hosts of a rack until there are `hosts`.
// Build: npx --yes --package=assemblyscript@0.28.20 asc discovery.ts -O --use abort= --exportStart _start -o sd-rack.wasm

@external("nx1", "send")
declare function nxSend(type: u32, id: u32, payload: usize, length: u32): i32;
@external("nx1", "recv")
declare function nxRecv(frame: usize, capacity: u32, timeoutMillis: i32): i32;

// Frames from the host, and to it.
const START: u32 = 1, STOP: u32 = 2, CALL: u32 = 3, CANCEL: u32 = 4;
const HELLO: u32 = 257, READY: u32 = 258, ERROR: u32 = 259, GROUPS: u32 = 260, RESULT: u32 = 261, DONE: u32 = 262;

const EAGAIN: i32 = -6;
const HEADER: u32 = 12;
const CAPACITY: u32 = 64 << 10;
const frame: usize = memory.data(65536, 8);

// The config: how many hosts there are in the end, and on which port.
let hosts: i32 = 2;
let port: i32 = 9100;

function send(type: u32, id: u32, text: string): void {
  const bytes = String.UTF8.encode(text);
  nxSend(type, id, changetype<usize>(bytes), bytes.byteLength);
}

// configure reads a config such as {"hosts": 3, "port": 9100} and returns what is wrong with it, or an empty string.
function configure(text: string): string {
  const body = text.trim();
  if (!body.startsWith("{") || !body.endsWith("}")) return "the config is no section";
  const fields = body.slice(1, -1).trim();
  if (fields == "") return "";
  const pairs = fields.split(",");
  for (let i = 0; i < pairs.length; i++) {
    const colon = pairs[i].indexOf(":");
    const key = pairs[i].slice(0, max(colon, 0)).trim();
    const value = pairs[i].slice(colon + 1).trim();
    const number = i32.parse(value);
    if (number <= 0 || number.toString() != value) return "field " + key + ": " + value + " is no positive number";
    if (key == '"hosts"') hosts = number;
    else if (key == '"port"') port = number;
    else return "field " + key + ": there is no such field";
  }
  return "";
}

// groups is an update with the first n hosts, each a source of its own.
function groups(n: i32): string {
  let text = "[";
  for (let i = 1; i <= n; i++) {
    if (i > 1) text += ",";
    text += '{"source":"host-' + i.toString() + '","targets":["10.0.0.' + i.toString() + ":" + port.toString() + '"],"labels":{"__meta_rack":"a"}}';
  }
  return text + "]";
}

// body returns what follows the head of the payload.
function body(payload: string): string {
  return payload.slice(payload.indexOf("\n\n") + 2);
}

function main(): void {
  let run: u32 = 0; // the call that runs the discovery, 0 for none
  let found = 0;
  send(HELLO, 0, '{"abi":1,"name":"sd-rack","version":"1.0","kinds":["discovery"],"keys":["rack_sd_configs"]}');
  while (true) {
    const waits = run != 0 && found < hosts; // for the next host
    const n = nxRecv(frame, CAPACITY, waits ? 20 : -1);
    if (n == EAGAIN) {
      send(GROUPS, run, groups(++found));
      continue;
    }
    if (n < <i32>HEADER || <u32>n > CAPACITY) unreachable();
    const type = load<u32>(frame), id = load<u32>(frame, 4), length = load<u32>(frame, 8);
    if (type == START) {
      const mistake = configure(body(String.UTF8.decodeUnsafe(frame + HEADER, length)));
      if (mistake == "") send(READY, 0, "");
      else send(ERROR, 0, mistake);
    } else if (type == CALL) {
      run = id; // the only method of a discovery is run
      found = 0;
    } else if (type == CANCEL && id == run) {
      send(RESULT, run, "");
      run = 0;
    } else if (type == STOP) {
      if (run != 0) send(RESULT, run, "");
      send(DONE, 0, "");
      return;
    }
  }
}

main();
