#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# write_reference.sh [--check] PROGRAM FOLDER: the reference pages, as the program describes its own recipes and command
# line. With --check nothing is written, and a page that differs is named.
set -euo pipefail
check=no
if [ "${1:-}" = --check ]; then check=yes; shift; fi
program=$(realpath "$1") folder=$(realpath -m "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# shellcheck disable=SC2016  # backquotes are Markdown's, here and below
head_line='<!-- SPDX-License-Identifier: Apache-2.0. Written by `./dev docs` from the program: change the code, not this page. -->'

# The verbs are the first words of the indented lines below "Subcommands:".
verbs_of() { awk '/^Subcommands:/ {on = 1; next} /^[^ ]/ {on = 0} on && /^  [a-z]/ {print $1}'; }
tasks=$("$program" list tasks | awk '/^  / {print $1}')
{
  printf '%s\n# Reference\n\nThe keys of a recipe, by task:\n\n' "$head_line"
  for task in $tasks; do printf -- '- [%s](%s.md) ([JSON Schema](%s.schema.json), for editors)\n' "$task" "$task" "$task"; done
  printf '\n[The command line](command-line.md): verbs and options. [Exit codes](exit-codes.md). [Machine profiles](machine-profile.md)\n'
  # shellcheck disable=SC2016
  printf '([JSON Schema](machine-profile.schema.json)): the keys of `machines/*.toml`.\n'
} >README.md
{
  printf '%s\n# Exit codes\n\nThe program ends with one of these, and so do all ranks of a run.\n\n' "$head_line"
  "$program" help exit-codes --format markdown
} >exit-codes.md
{
  # shellcheck disable=SC2016
  printf '%s\n# Machine profiles\n\nA file that `ocoee plan --machine` and `run.machine` take; it begins with `version = 1`.\n\n' "$head_line"
  # Nothing resumes with a profile.
  "$program" help machine-profile --format markdown |
    sed -E 's/ may change on resume \|$//; s/^(\|---){5}\|$/|---|---|---|---|/; s/ \|  \|$/ |/'
} >machine-profile.md
"$program" help machine-profile --format schema >machine-profile.schema.json
for task in $tasks; do
  {
    # shellcheck disable=SC2016
    printf '%s\n# Recipes of task `%s`\n\n' "$head_line" "$task"
    "$program" help --task "$task" --format markdown
  } >"$task.md"
  "$program" help --task "$task" --format schema >"$task.schema.json"
done
{
  printf '%s\n# The command line\n\n```text\n' "$head_line"
  "$program" --help
  printf '```\n'
  for verb in $("$program" --help | verbs_of); do
    printf '\n## ocoee %s\n\n```text\n' "$verb"
    "$program" "$verb" --help
    printf '```\n'
    for second in $("$program" "$verb" --help | verbs_of); do
      printf '\n## ocoee %s %s\n\n```text\n' "$verb" "$second"
      "$program" "$verb" "$second" --help
      printf '```\n'
    done
  done
} | sed 's/[ \t]*$//' >command-line.md

if [ $check = yes ]; then
  diff -r "$folder" "$work" >"$work.diff" || {
    head -n 40 "$work.diff"; rm -f "$work.diff"
    echo "$folder is not what the program says: ./dev docs"; exit 1; }
  rm -f "$work.diff"
else
  mkdir -p "$folder"
  rm -f "$folder"/*
  cp "$work"/* "$folder"/
fi
