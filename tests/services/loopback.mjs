// Loaded before the tests: what would leave this machine is an error instead, whoever asks for it.

import { BlockList, Socket, isIP } from "node:net";

const here = new BlockList();
here.addSubnet("127.0.0.0", 8);
here.addAddress("::1", "ipv6");

const connect = Socket.prototype.connect;
Socket.prototype.connect = function (...args) {
  // Node hands its arguments on as one list, already in order.
  const [options] = Array.isArray(args[0]) ? args[0] : args;
  const host = typeof options === "object" ? (options.path ? "localhost" : (options.host ?? "localhost")) : "localhost";
  const isHere = isIP(host) ? here.check(host, isIP(host) === 6 ? "ipv6" : "ipv4") : host === "localhost";
  if (!isHere) throw new Error(`a test asked for ${host}, which is not on this machine`);
  return connect.apply(this, args);
};
