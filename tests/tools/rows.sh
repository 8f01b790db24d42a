# shellcheck shell=bash disable=SC2034 # $said and the counters are also the scripts'
# rows.sh: rows, for scripts that print what they check. Sourced.
#
#   row NAME TRIED FUNCTION   runs FUNCTION, which says in $said what happened, and returns 0 if that
#                             is as it should be, 3 if something that it needs is missing
#   report VERDICT NAME ...   prints one row: ok, MISSING or FAILED, and the columns that are not empty
#   end_of_rows               the closing line; fails if a row did, or if there was none
#
# $only is a regular expression: other rows do not run. A script may define before_row, after_row and
# show_failure; TIMES=1 shows how long each row took.
only=${only-} said='' rows=0 passed=0 failed=0 missing=0
before_row() { :; }
after_row() { :; }
show_failure() { :; }

report() {
    local verdict=$1 name=$2 line column
    shift 2
    rows=$((rows + 1))
    case $verdict in
        ok) passed=$((passed + 1)) ;;
        MISSING) missing=$((missing + 1)) ;;
        *) failed=$((failed + 1)) ;;
    esac
    printf -v line '%-7s | %-28s' "$verdict" "$name"
    for column; do
        column=${column//$'\n'/ }
        [ -z "$column" ] || printf -v line '%s | %s' "$line" "${column//$'\r'/}"
    done
    printf '%s\n' "$line"
}

row() {
    if [ -n "$only" ] && ! [[ $1 =~ ^($only)$ ]]; then return; fi
    said=''
    local verdict began=$SECONDS
    before_row
    "$3"
    case $? in
        0) verdict=ok ;;
        3) verdict=MISSING ;;
        *) verdict=FAILED ;;
    esac
    [ -z "${TIMES:-}" ] || said="$((SECONDS - began)) s; $said"
    local tried=$2
    [ -z "$tried" ] || printf -v tried '%-58s' "$2"
    report $verdict "$1" "$tried" "$said"
    [ $verdict != FAILED ] || show_failure
    after_row
}

end_of_rows() {
    echo "$rows rows, $failed failed, $missing left out (MISSING, with the reason)"
    if [ "$rows" = 0 ]; then echo "no row is named $only"; fi
    [ "$rows" -gt 0 ] && [ "$failed" = 0 ]
}
