"use strict";
// Before the first paint, so that a dark page does not flash white. A classic script: modules wait.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "system";
