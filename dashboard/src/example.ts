// Examples of the catalogue as text.
import type { EventField } from "./api/types";
import { writeExact } from "./exact-json";

export function exampleText(field: EventField): string {
  if (typeof field.example === "string") return field.example;
  return field.example === null || field.example === undefined ? "" : writeExact(field.example);
}
