// Every page, at every width, in both themes: nothing complains, nothing is too wide, everybody can read it.

import { describe, test } from "node:test";

import { LIMIT, SCENES, admit, browserForFile } from "./given.mjs";
import { checkLooks, looking } from "./looks.mjs";
import { PLACES, SCHEMES } from "./places.mjs";

const withPage = browserForFile();

for (const [scene, url] of Object.entries(SCENES)) {
  for (const colorScheme of SCHEMES) {
    describe(`${scene}, ${colorScheme}`, { concurrency: 2 }, () => {
      for (const place of PLACES[scene]) {
        test(place.name, LIMIT, () => withPage(looking(colorScheme), async (page, context) => {
          await admit(context, place);
          await checkLooks(page, url, place, colorScheme);
        }));
      }
    });
  }
}
