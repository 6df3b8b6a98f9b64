# Stands for an agent: notes the first line of what it is asked at the end of list.md.
set -eu
IFS= read -r wish <"$1"
printf -- '- %s\n' "$wish" >>list.md
git commit --quiet -m "Note: $wish" -- list.md
echo "noted: $wish"
