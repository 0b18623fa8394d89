// Opens pages of a site in a browser and reports what happens: `node microscope_browsers.mjs JOB`, a JSON text.
// Prints JSON: for each page its console messages, failed requests, broken pictures and requested addresses before and
// after scrolling; and for each query of the search its milliseconds.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const job = JSON.parse(process.argv[2]);
const find = createRequire(job.packages + "/node_modules/");
const { default: puppeteer } = await import(pathToFileURL(find.resolve("puppeteer-core")).href);

const isChrome = job.browser === "chrome";
const browser = await puppeteer.launch({
  browser: job.browser,
  executablePath: job.executable,
  headless: true,
  args: isChrome ? ["--no-sandbox", "--disable-gpu"] : [],
});
const version = await browser.version();
const settle = (page) => page.waitForNetworkIdle({ idleTime: 500, timeout: 60000 });

async function visit(address) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1350, height: 940 });
  const seen = { console: [], failed: [], before: [], after: [] };
  let phase = "before";
  page.on("console", (message) => seen.console.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.console.push(`error: ${error.message}`));
  page.on("request", (request) => seen[phase].push(request.url()));
  page.on("requestfailed", (request) => seen.failed.push(request.url()));
  page.on("response", (response) => {
    if (response.status() >= 400) seen.failed.push(response.url());
  });
  await page.goto(address, { waitUntil: "load", timeout: 60000 });
  await settle(page);
  phase = "after";
  await page.evaluate(async () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    for (let top = 0; top < document.documentElement.scrollHeight; top += innerHeight / 2) {
      scrollTo(0, top);
      await new Promise((done) => setTimeout(done, 30));
    }
  });
  await settle(page);
  // Requests of files are not reported by every browser: what did not arrive is looked for in the page, too.
  const broken = await page.evaluate(() => {
    const images = Array.from(document.images).filter((one) => !one.complete || !one.naturalWidth);
    const sheets = Array.from(document.querySelectorAll("link[rel=stylesheet]")).filter((one) => !one.sheet);
    return [...images.map((one) => one.src), ...sheets.map((one) => one.href)];
  });
  seen.failed = [...new Set([...seen.failed, ...broken])];
  await page.close();
  return seen;
}

// The time in which an input event is answered, the list laid out; the first one also loads and reads the index.
async function search(address, queries) {
  const page = await browser.newPage();
  await page.goto(address, { waitUntil: "load" });
  const found = await page.evaluate(async (texts) => {
    const input = document.getElementById("search");
    const list = document.getElementById("found");
    const ask = (text) => {
      input.value = text;
      const before = performance.now();
      input.dispatchEvent(new Event("input", { bubbles: true }));
      list.getBoundingClientRect();
      return performance.now() - before;
    };
    const started = performance.now();
    await new Promise((done) => window.lucidFind("", done));
    const answers = { first: performance.now() - started, queries: {} };
    for (const text of texts) {
      const times = [];
      for (let turn = 0; turn < 9; turn++) {
        ask("");
        times.push(ask(text));
      }
      times.sort((one, other) => one - other);
      const shown = list.querySelectorAll("[data-at]").length;
      answers.queries[text] = { found: shown, median: times[4], most: times[8] };
    }
    return answers;
  }, queries);
  await page.close();
  return found;
}

const pages = {};
for (const address of job.pages) pages[address] = await visit(address);
const found = job.search ? await search(job.search.page, job.search.queries) : null;
await browser.close();
console.log(JSON.stringify({ version, pages, search: found }));
