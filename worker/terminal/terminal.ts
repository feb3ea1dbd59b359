import "@xterm/xterm/css/xterm.css";
import "./style.css";
import { App } from "./app.ts";

const main = document.getElementById("main");
const path = document.getElementById("path");
if (main !== null && path !== null) new App(main, path).start();
