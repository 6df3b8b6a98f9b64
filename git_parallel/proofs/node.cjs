// Are the packages that package.json names those of this tree? Run in the folder of a project.
//
// Node looks for a package upwards through all folders, so one that is missing here may be found
// in another tree; and a link may lead there. Exits with 1 and says what is wrong. A project
// without node_modules (Plug'n'Play) has nothing of the kind.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const top = fs.realpathSync(process.cwd());
const tree = process.env.GIT_PARALLEL_ROOT ? fs.realpathSync(process.env.GIT_PARALLEL_ROOT) : top;
const main = process.env.GIT_PARALLEL_MAIN ? fs.realpathSync(process.env.GIT_PARALLEL_MAIN) : null;

function isBelow(place, folder) {
  return place === folder || place.startsWith(folder + path.sep);
}

function found(name) {
  for (let folder = top; ; folder = path.dirname(folder)) {
    const place = path.join(folder, "node_modules", name);
    if (fs.existsSync(place)) return fs.realpathSync(place);
    if (folder === path.dirname(folder)) return null;
  }
}

function wrong(name) {
  const place = found(name);
  if (place === null) return `${name} is not installed`;
  const elsewhere = main !== null && isBelow(place, main) && !isBelow(place, tree);
  return elsewhere ? `${name} is that of another tree: ${place}` : null;
}

const manifest = JSON.parse(fs.readFileSync(path.join(top, "package.json"), "utf8"));
const names = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
const optional = manifest.optionalDependencies ?? {};
const told = fs.existsSync(path.join(top, "node_modules"))
  ? names.filter((name) => !(name in optional)).map(wrong).find((words) => words)
  : null;
if (told) {
  console.error(told);
  process.exit(1);
}
