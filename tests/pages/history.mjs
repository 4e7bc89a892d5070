// A day of minutes as a pool would find them after a power cut: the journal of its history, whose
// layout src/history/journal.rs tells. So the chart has something to draw a second after the start.

import { crc32 } from "node:zlib";

const MINUTES = 23 * 60;

/** The 16-bit SI code of src/history/encoding.rs. */
function code(value) {
  let exponent = 0;
  while (value >= 1000 && exponent < 7) { value /= 1000; exponent += 1; }
  const part = Math.log(Math.max(1, value)) / Math.log(1000);
  return (exponent << 13) | (1 + Math.round(part * 8190));
}

function record(minute, hashrate, best) {
  const payload = Buffer.alloc(12);
  payload.writeUInt32LE(minute, 0);
  payload.writeUInt16LE(code(hashrate), 4);
  payload.writeUInt16LE(code(best), 6);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt32LE(crc32(payload), 4);
  return Buffer.concat([head, payload]);
}

/** Half a megahash, give or take, and less of it at night; a few shares stand out. */
export function dayOfHistory(now) {
  const last = Math.floor(now / 60_000) - 2;
  const records = Array.from({ length: MINUTES }, (_, index) => {
    const minute = last - MINUTES + index;
    const wave = Math.sin((2 * Math.PI * minute) / 1440) * 80_000 + Math.sin(minute / 37) * 40_000;
    const noise = ((minute * 7919) % 101) * 600;
    // A share of this luck comes once in so many minutes.
    const luck = ((minute * 104_729) % 997) / 997;
    return record(minute, 480_000 + wave + noise, 2 + 0.4 / Math.max(luck, 0.004));
  });
  return Buffer.concat([Buffer.from("GPSWPJ01"), ...records]);
}
