(function () {
  "use strict";
  var root = document.body.dataset.root;
  var all = function (selector) { return Array.prototype.slice.call(document.querySelectorAll(selector)); };
  var make = function (tag, text, parent) {
    var element = document.createElement(tag);
    element.textContent = text;
    if (parent) parent.appendChild(element);
    return element;
  };

  // Keyboard: pages name their neighbors in <link data-key>.
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(input|select|textarea)$/i.test(event.target.tagName) || document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      event.preventDefault();
      input.focus();
      return;
    }
    if (/^Arrow/.test(event.key) && event.target.closest && event.target.closest("[tabindex='0']")) return;
    all("link[data-key]").forEach(function (link) {
      if (link.dataset.key === event.key) location.href = link.href;
    });
  });

  // Search: every word of the query is the start of a word of a name, class, title or note.
  var form = document.querySelector(".search"), input = document.getElementById("search");
  var list = document.getElementById("found"), entries = null, shown = [], at = -1;
  form.hidden = false;
  all(".keys").forEach(function (keys) { keys.hidden = false; });

  function words(text) { return " " + text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim() + " "; }

  function load(done) {
    if (entries) return done();
    var script = make("script", "", null);
    script.src = root + "assets/search-index.js";
    script.onload = function () {
      entries = index(window.lucidSearch);
      done();
    };
    document.head.appendChild(script);
  }

  function index(data) {
    var found = [];
    data.layers.forEach(function (layer) {
      var own = words(layer[0]), folder = root + layer[1] + "/";
      found.push({ name: layer[0], about: layer[3].length + " units", page: folder + "index.html", best: own, words: own + words(layer[2]) });
      layer[3].forEach(function (unit) {
        var label = data.labels[unit[1]] || "", title = unit[2] || "", number = unit[0] + " ";
        found.push({
          name: layer[0] + ":" + unit[0], about: title || label, page: folder + unit[0] + ".html", best: own + number + words(title),
          words: own + number + words(label + " " + title + " " + (unit[3] || "")),
          icon: root + "assets/" + layer[1] + "/icons/" + String(unit[0]).padStart(4, "0") + ".webp"
        });
      });
    });
    return found;
  }

  function search(query, most) {
    var asked = words(query).trim().split(" ").filter(Boolean).map(function (word) { return " " + word; });
    var first = [], second = [], holds = function (text) {
      for (var j = 0; j < asked.length; j++) if (text.indexOf(asked[j]) < 0) return false;
      return true;
    };
    if (!asked.length) return [];
    for (var i = 0; i < entries.length && first.length < most; i++) {
      var entry = entries[i];
      if (!holds(entry.words)) continue;
      if (holds(entry.best)) first.push(entry);
      else if (second.length < most) second.push(entry);
    }
    return first.concat(second).slice(0, most);
  }

  function show() {
    shown = search(input.value, 30);
    at = shown.length ? 0 : -1;
    list.textContent = "";
    shown.forEach(function (entry, number) {
      var item = make("li", "", list);
      if (entry.icon) make("img", "", item).src = entry.icon;
      if (entry.icon) item.firstChild.alt = "";
      make("b", entry.name, item);
      make("span", entry.about, item);
      item.id = "found" + number;
      item.dataset.at = number;
      item.setAttribute("role", "option");
    });
    if (!shown.length && input.value.trim()) make("li", "Nothing found", list).setAttribute("role", "option");
    list.hidden = !input.value.trim();
    input.setAttribute("aria-expanded", String(!list.hidden));
    select();
  }

  function select() {
    shown.forEach(function (entry, number) { list.children[number].setAttribute("aria-selected", String(number === at)); });
    if (at < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", "found" + at);
    list.children[at].scrollIntoView({ block: "nearest" });
  }

  input.addEventListener("focus", function () { load(function () {}); });
  input.addEventListener("input", function () { load(show); });
  input.addEventListener("keydown", function (event) {
    var step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      at = (at + step + shown.length) % shown.length;
      select();
    } else if (event.key === "Escape") {
      input.value = "";
      list.hidden = true;
      input.blur();
    }
  });
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    if (shown[at]) location.href = shown[at].page;
  });
  list.addEventListener("mousedown", function (event) {
    var item = event.target.closest("[data-at]");
    if (item) location.href = shown[item.dataset.at].page;
  });
  input.addEventListener("blur", function () { list.hidden = true; });
  window.lucidFind = function (query, done) { load(function () { done(search(query, 30)); }); };

  // Sort and filter the units of a layer; window.lucidUnits has [unit, maximum, sparseness, selectivity, order].
  var controls = document.getElementById("controls"), units = window.lucidUnits;
  function column(by) {
    return units.map(function (row) { return row[by]; }).filter(function (value) { return value !== null; }).sort(function (a, b) { return a - b; });
  }
  function arrange() {
    var field = controls.elements, by = +field.by.value, sort = +field.sort.value, values = column(by), share = +field.least.value / 100;
    var least = share && values.length ? values[Math.min(values.length - 1, Math.floor(share * values.length))] : -Infinity;
    var rows = units.filter(function (row) { return least === -Infinity || (row[by] !== null && row[by] >= least); });
    rows.sort(function (a, b) {
      if (sort === 0 || sort === 4) return a[sort] - b[sort];
      return (b[sort] === null ? -Infinity : b[sort]) - (a[sort] === null ? -Infinity : a[sort]) || a[0] - b[0];
    });
    var home = document.getElementById("units"), kept = {}, part = document.createDocumentFragment();
    rows.forEach(function (row) {
      var item = document.getElementById("u" + row[0]), text = item.querySelector("a > span:last-child");
      var old = text.querySelector("em");
      if (old) old.remove();
      if (sort > 0 && sort < 4 && row[sort] !== null) make("em", String(+row[sort].toPrecision(2)), text);
      kept[row[0]] = true;
      item.hidden = false;
      part.appendChild(item);
    });
    units.forEach(function (row) { if (!kept[row[0]]) document.getElementById("u" + row[0]).hidden = true; });
    home.insertBefore(part, home.firstChild);
    field.shown.value = least === -Infinity ? "any" : String(+least.toPrecision(3));
    field.count.value = rows.length === units.length ? rows.length + " units" : rows.length + " of " + units.length + " units";
  }
  if (controls && units) {
    controls.hidden = false;
    controls.addEventListener("input", arrange);
    controls.addEventListener("submit", function (event) { event.preventDefault(); });
  }

  // The whole picture of an example, with the part that the crop shows.
  document.addEventListener("click", function (event) {
    var link = event.target.closest && event.target.closest("a.crop");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !window.HTMLDialogElement) return;
    event.preventDefault();
    var dialog = make("dialog", "", document.body), figure = make("figure", "", dialog), picture = make("img", "", figure);
    picture.src = link.href;
    picture.alt = link.dataset.text;
    if (link.dataset.box) {
      var box = link.dataset.box.split(" ").map(Number), cell = make("span", "", figure);
      cell.className = "cell";
      cell.style.cssText = "left:" + box[0] * 100 + "%;top:" + box[1] * 100 + "%;width:" + (box[2] - box[0]) * 100 + "%;height:" + (box[3] - box[1]) * 100 + "%";
    }
    make("p", link.dataset.text, dialog);
    dialog.setAttribute("aria-label", "Whole picture");
    dialog.addEventListener("click", function () { dialog.close(); });
    dialog.addEventListener("close", function () { dialog.remove(); });
    dialog.showModal();
  });
})();
