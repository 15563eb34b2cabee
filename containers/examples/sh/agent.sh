#!/bin/sh
# An agent in sh: counts the lines of the files in its workspace, and asks before it replaces an older count.
# No JSON library: commands come as one compact line each, and a string in them can be passed on as it stands, escaped.
set -eu
REPORT=lines.txt

say() { printf '{"type":%s}\n' "$1"; }
string() { # any text as a JSON string
    printf '"%s"' "$(printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\001-\037\177' | sed 's/[\\"]/\\&/g')"
}
field() { # field NAME: the first string of that name in the command, escaped and with its quotes
    printf '%s' "${command#*"\"$1\":"}" | sed -E 's/^("([^"\\]|\\.)*").*/\1/'
}
next_command() {
    command=
    while [ -z "$command" ]; do IFS= read -r command || exit 0; done # empty lines separate commands
}
finish() { # finish STATUS RESULT
    say "\"done\",\"status\":\"$1\",\"result\":\"$2\""
    exit 0
}
trap 'finish cancelled "stopped"' TERM

next_command # {"type":"start","protocol":1,"run_id":…,"input":{"content":…},"history":[…],"config":{…}}
say '"text","content":"You asked: "'
say "\"text\",\"content\":$(field content)"
say '"text","content":"\nCounting the lines of your files.\n"'

say '"tool-call","call_id":"count","name":"count-lines","arguments":{"directory":"."}'
find . -type f ! -name "$REPORT" | sort >/tmp/files
files=0 total=0
: >/tmp/report
while IFS= read -r path; do
    lines=$(wc -l <"$path") || continue
    files=$((files + 1)) total=$((total + lines))
    printf '%s %s\n' "$lines" "${path#./}" >>/tmp/report
    say "\"tool-output\",\"call_id\":\"count\",\"content\":$(string "$lines ${path#./}")"
    say '"tool-output","call_id":"count","content":"\n"'
done </tmp/files
result="$total lines in $files files"
say "\"tool-result\",\"call_id\":\"count\",\"result\":\"$result\",\"is_error\":false"

answer=yes
if [ -e "$REPORT" ]; then
    say "\"approval-request\",\"approval_id\":\"replace\",\"question\":\"Replace $REPORT?\",\"options\":[\"yes\",\"no\"]"
    answer=
fi
while [ -z "$answer" ]; do
    next_command
    case $command in
    '{"type":"cancel"'*) finish cancelled "stopped" ;;
    '{"type":"message"'*)
        say '"text","content":"Noted: "'
        say "\"text\",\"content\":$(field content)"
        say '"text","content":"\n"'
        ;;
    '{"type":"approval"'*'"decision":"yes"'*) answer=yes ;;
    '{"type":"approval"'*) answer=no ;;
    esac
done

if [ $answer = yes ]; then
    cp /tmp/report "$REPORT"
    say "\"text\",\"content\":\"Wrote $REPORT: $result.\""
else
    say "\"text\",\"content\":\"Kept $REPORT as it was.\""
fi
finish completed "$result"
