import { render } from "preact";
import { App } from "./app";
import { resume } from "./session";
import "./style.css";
import { startTheme } from "./theme";

startTheme();
void resume();
const root = document.getElementById("app");
if (root) render(<App />, root);
