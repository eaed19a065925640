# What ssh_machine.py has the shell of a host do: POSIX sh with Linux's /proc, as supervisor.sh.
# It is sent along each time, followed by one line that calls a function; nothing of it stays on the host.
# shellcheck shell=sh disable=SC2086,SC2154 # words are split on purpose; `shell` is set by the caller's line

give_up() { # $1: a sentence for people
    printf 'failed %s\n' "$1"
    exit 0
}

born() { # is process $1 the one that was born at $2?
    stat='' line=''
    { while read -r line; do stat="$stat $line"; done <"/proc/$1/stat"; } 2>/dev/null
    stat=${stat##*") "}
    case $stat in "" | [ZX]*) return 1 ;; esac
    birthday=$2
    set -- $stat
    [ "${20}" = "$birthday" ]
}

supervised() { # does the supervisor of the attempt in $1 live, in this life of the machine?
    pid='' birth='' boot=''
    { read -r pid birth boot <"$1/pid"; read -r now_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
    [ "$pid" ] && [ "$boot" = "$now_boot" ] && born "$pid" "$birth"
}

exit_of() { # the exit code of the attempt in $1, if it is whole
    ended=''
    read -r ended <"$1/exit"
    case $ended in *" "*" "*" "*) ;; *) return 1 ;; esac
} 2>/dev/null

facts() { # what is known of the attempt in $1; parsed by ssh_watch.py
    if [ ! -d "$1" ]; then
        echo absent
        return
    fi
    pid='' why='' cancelled=''
    if exit_of "$1"; then
        state=ended
    elif [ ! -e "$1/pid" ]; then
        state=prepared
    elif supervised "$1"; then
        state=running
    elif exit_of "$1"; then
        state=ended # between the two looks
    else
        state=lost
    fi
    { [ -e "$1/why" ] && read -r why <"$1/why"; } 2>/dev/null
    [ -e "$1/by.cancelled" ] && cancelled=1
    printf '%s\n%s\n%s\n%s\n%s\n' "$state" "$pid" "$ended" "$cancelled" "$why"
}

look() { # at all attempts given, states before sizes: what was written before an end is then counted
    for folder; do facts "$folder"; done
    echo sizes
    files=''
    for folder; do
        shift
        set -- "$@" "$folder/pid" "$folder/exit" "$folder/stdout" "$folder/stderr" "$folder/cut"
    done
    [ $# -eq 0 ] || TZ=UTC0 stat -c '%s|%y|%n' "$@" 2>/dev/null
}

part() { # of file $1, from byte $2, at most $3 bytes; dd moves the place in the file that head goes on from
    { dd bs=1 skip="$2" count=0 && head -c "$3"; } <"$1" 2>/dev/null
}

unpack() { # what comes in, into the files of this folder: NAME SIZE HOW each, one behind the other
    arrived=.arrived.$$
    cat >"$arrived" || return 1
    place=0 whole=0
    for word; do case $word in *[!0-9]*) ;; *) whole=$((whole + word)) ;; esac; done
    [ "$(($(wc -c <"$arrived")))" -eq "$whole" ] || return 1
    while [ $# -gt 0 ]; do
        beside=.$1.$$
        part "$arrived" "$place" "$2" >"$beside" && [ "$(($(wc -c <"$beside")))" -eq "$2" ] || return 1
        place=$((place + $2))
        case $3 in
        script) chmod 700 "$beside" && mv -f "$beside" "$1" || return 1 ;;
        new) mv -f "$beside" "$1" || return 1 ;;
        once) # never what a supervisor may have read or written; only a file that a power cut emptied
            [ ! -f "$1" ] || [ "$(($(wc -c <"$1")))" -ge "$2" ] || rm -f "$1"
            ln "$beside" "$1" 2>/dev/null || [ -f "$1" ] || return 1
            rm -f "$beside" ;;
        esac
        shift 3
    done
    rm -f "$arrived"
}

where_logins_begin() {
    printf 'here %s\n' "$PWD"
}

install_in() { # $1 folder, $2 name, $3 size: the supervisor, once for each version of it
    umask 077
    mkdir -p "$1" && cd "$1" || give_up "the folder $1 cannot be made"
    { [ -f "$2" ] && [ "$(($(wc -c <"$2")))" -eq "$3" ]; } 2>/dev/null ||
        unpack "$2" "$3" script 2>/dev/null || give_up "the folder $1 cannot be written to"
    echo installed
}

start() { # $1 folder, $2 supervisor, $3 working directory, then what is to be unpacked
    umask 077
    folder=$1 supervisor=$2
    [ -f "$supervisor" ] || { echo missing; exit 0; }
    [ ! -e "$folder/pid" ] || { echo held; exit 0; }
    [ -d "$3" ] || give_up "the working directory $3 does not exist"
    [ -x "$3" ] || give_up "the working directory $3 cannot be entered"
    shift 3
    problem=$( { mkdir -p "$folder" && cd "$folder" && unpack "$@"; } 2>&1) ||
        give_up "the folder $folder cannot be prepared: ${problem:-not all of it arrived}"
    for pipe in out err; do
        mkfifo -m 600 "$folder/$pipe" 2>/dev/null || [ -p "$folder/$pipe" ] ||
            give_up "the folder $folder cannot be prepared: no pipe can be made in it"
    done
    echo starting
    # In our place, since in the background a shell would have it ignore INT and QUIT. The output ends when the
    # supervisor holds the folder; what it says until then are reasons why not.
    exec $shell "$supervisor" start "$folder" $shell </dev/null 2>&1
}

cancel() { # $1 folder, $2 supervisor, $3 hundredths of a second
    [ -d "$1" ] || { echo asked; exit 0; }
    [ -f "$2" ] || { echo missing; exit 0; }
    if [ ! -e "$1/pid" ] && ! exit_of "$1"; then
        # Should it be starting this very moment, then the supervisor's look or ours comes second.
        : >"$1/by.cancelled"
    fi
    if [ -e "$1/pid" ] || exit_of "$1"; then
        $shell "$2" cancel "$1" "$3" $shell </dev/null >/dev/null 2>&1 &
    fi
    echo asked
}

left() { # $1 folder, $2 supervisor: is a process of the attempt alive?
    [ -s "$1/pid" ] || return 1
    supervised "$1" && return 0
    [ "$($shell "$2" left "$1" </dev/null)" ]
}

gone() {
    [ -d "$1" ] || { echo gone; exit 0; }
    [ -f "$2" ] || { echo missing; exit 0; }
    left "$1" "$2" && echo left || echo gone
}

remove() { # $1 folder, $2 supervisor
    [ -d "$1" ] || { echo removed; exit 0; }
    [ -f "$2" ] || { echo missing; exit 0; }
    if [ -e "$1/pid" ] && ! exit_of "$1"; then
        left "$1" "$2" && give_up "the attempt in $1 still has processes"
    fi
    { read -r group <"$1/group" && [ -d "$group" ] && $shell "$2" disband "$1" </dev/null; } 2>/dev/null
    # Held until the end: the readers of a supervisor that was killed early wait for a writer for ever, else.
    [ ! -p "$1/out" ] || exec 8<>"$1/out"
    [ ! -p "$1/err" ] || exec 9<>"$1/err"
    for try in 1 2 3 4 5 6 7 8 9 10; do # a canceller that comes late may make or move a file meanwhile
        problem=$(rm -rf "$1" 2>&1)
        [ -e "$1" ] || break
        sleep 0.1 2>/dev/null || sleep 1
    done
    [ ! -e "$1" ] || give_up "the folder $1 cannot be removed: $problem"
    echo removed
}

attempts_in() { # $1 folder
    echo attempts
    for folder in "$1"/*; do [ ! -d "$folder" ] || echo "${folder##*/}"; done
}
