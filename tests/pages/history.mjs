// A day of minutes as a pool would find them after a power cut: the journal of its history, whose
// layout src/history/journal.rs tells. So the chart has something to draw a second after the start.

import { crc32 } from "node:zlib";

const MINUTES = 23 * 60;

/** The 16-bit SI code of src/history/encoding.rs. */
function code(value) {
  if (!(value > 0)) return 0;
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

/** Numbers from 0 to 1 as good as chance, the same in every run (xorshift32). */
function chances(state) {
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Half a megahash, give or take, less of it at night; a lucky share every half an hour or so. */
export function dayOfHistory(now) {
  const last = Math.floor(now / 60_000) - 2;
  const chance = chances(2_463_534_242);
  let drift = 0;
  const records = Array.from({ length: MINUTES }, (_, index) => {
    const minute = last - MINUTES + index;
    drift = 0.97 * drift + 9000 * (chance() - 0.5);
    const hashrate = 480_000 + Math.sin((2 * Math.PI * minute) / 1440) * 40_000 + drift + 25_000 * (chance() - 0.5);
    const best = chance() < 0.03 ? 1.5 / Math.max(0.02, chance()) : 0;
    return record(minute, hashrate, best);
  });
  return Buffer.concat([Buffer.from("GPSWPJ01"), ...records]);
}
