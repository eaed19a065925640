#!/bin/sh
# The one thing between a command and the system. POSIX sh with Linux's /proc: dash, busybox sh, bash.
#
#   supervisor.sh start FOLDER SHELL...          run the attempt of this folder, apart from whoever asks
#   supervisor.sh cancel FOLDER GRACE SHELL...   end it: TERM, and KILL after so many hundredths of a second; returns at once
#   supervisor.sh left FOLDER                    print the processes of the attempt that are alive
#   supervisor.sh disband FOLDER                 remove its control group, where that is empty by now
#
# The folder comes with: command, launch (sets the environment and becomes the command), settings, mark,
# out and err (FIFOs), and job, how, exit.part filled with blanks: what is written late is written over
# them, so that a full disk cannot take it. We make: pid (also the lock), stdout, stderr, cut, exit, and group
# where there is a control group.
# Everything is inside functions: the shell has read the whole file before it runs the first line.
# shellcheck disable=SC1091,SC2013,SC2034,SC2086,SC2094,SC2154 # words are split on purpose; settings are read

look() { # is process $1 alive? sets stat to what the kernel says of it from its state on
    stat=''
    { while read -r line; do stat="$stat $line"; done <"/proc/$1/stat"; } 2>/dev/null
    stat=${stat##*") "}
    case $stat in "" | [ZX]*) return 1 ;; esac
}

born() { # the start time of process $1, with its pid the one name that is never given twice in a boot
    look "$1" || return 1
    set -- $stat
    birth=${20}
}

same() { # is process $1 still the one that was born at $2?
    [ "$1" ] && born "$1" && [ "$birth" = "$2" ]
}

clock() { # hundredths of a second since boot: no change of the date moves it
    read -r now line </proc/uptime
    now=$((${now%.*} * 100 + 1${now#*.} - 100))
}

doze() { # $1 is less than a second; some hosts' sleep knows whole ones only
    sleep "$1" 2>/dev/null || sleep 1
}

confine() { # sets group to a control group (v2) for the command, where we may make one: no fork leaves it
    group=batchd-$mark.$self.$birth base=''
    while IFS=: read -r line path base && [ "$line" != 0 ]; do base=''; done </proc/self/cgroup
    case $base in "" | */..*) base=/nowhere ;; esac
    for path in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        path=$path${base%/}
        [ -w "$path/cgroup.procs" ] || continue
        tidy "$path"
        # First where it is, then it: so it is never forgotten.
        echo "$path/$group" >group && mkdir "$path/$group" && group=$path/$group && return
    done
    group=''
}

tidy() { # $1: the groups there that are empty, and whose supervisors are gone: no new command can come
    for path in "$1"/batchd-*.*.*; do
        line=${path%.*}
        [ ! -d "$path" ] || same "${line##*.}" "${path##*.}" || rmdir "$path"
    done
    path=$1
}

own_group() { # sets group, if there is one. The name is ours alone: no other group can be meant
    group='' mark=''
    { read -r mark <mark; read -r group <group; } 2>/dev/null
    case $group in /sys/fs/cgroup/*"batchd-${mark:-none}."*) [ -d "$group" ] ;; *) false ;; esac
}

disband() { # the command may have made groups inside of its own
    own_group || return 0
    rmdir "$group" || find "$group" -depth -type d -exec rmdir {} \;
} 2>/dev/null

found() { # once each: nobody is to be sent two signals
    case $found in *" $1 "*) ;; *) found="$found$1 " ;; esac
}

members() { # all of the attempt but its supervisor: by mark, by control group, by session, by descent
    job='' birthday='' mark='' boot='' found=' ' grown=''
    { read -r line line boot <pid; read -r job birthday <job; read -r mark <mark; } 2>/dev/null
    read -r line </proc/sys/kernel/random/boot_id
    [ "$boot" = "$line" ] || return 0 # not started, or in another life of this machine
    same "$job" "$birthday" && found=" $job "
    # A stranger that was given the number since is no reason to look at its session.
    born "$job" && [ "$birth" != "$birthday" ] && job=
    for path in $(grep -lszF "BATCHD_ATTEMPT_MARK=${mark:-none}" /proc/[0-9]*/environ); do
        path=${path%/environ}
        found "${path#/proc/}"
    done
    own_group && for path in $(find "$group" -name cgroup.procs -exec cat {} + || cat "$group/cgroup.procs"); do
        case $path in [1-9]*) found "$path" ;; esac # 0: where this shell cannot see it
    done 2>/dev/null
    if [ -z "$watching" ] && ! supervised && read -r path line <watcher && same "$path" "$line"; then
        found "$path" # nobody else ends the watch of a killed supervisor
    fi 2>/dev/null
    while [ "$grown" != "$found" ]; do
        grown=$found
        for path in /proc/[0-9]*; do
            case $found in *" ${path#/proc/} "*) continue ;; esac
            look "${path#/proc/}" || continue
            set -- $stat # state, parent, group, session
            case "$found" in *" $2 "*) set -- found ;; *) [ "$4" = "${job:-none}" ] && set -- found ;; esac
            [ "$1" = found ] && found="$found${path#/proc/} "
        done
    done
    for path in $found; do look "$path" && echo "$path"; done
}

supervised() { # does a supervisor still look after this folder?
    sup='' sup_birth='' boot=''
    { read -r sup sup_birth boot <pid; } 2>/dev/null
    read -r line </proc/sys/kernel/random/boot_id
    [ "$boot" = "$line" ] && same "$sup" "$sup_birth"
}

end_tree() { # $1: why, $2: grace in hundredths. Goes on until nothing is left, and nothing can come any more
    clock
    began=$now deadline=$((now + $2)) asked='' rest=0.1
    : >"by.$1"
    while left=$(members); [ "$left" ] || { [ ! -e exit ] && supervised; }; do
        clock
        for again in again.*; do # who asks again may be less patient; a file for each, so that none is lost
            read -r sooner <"$again" && [ "$sooner" -lt "$deadline" ] && deadline=$sooner
        done
        if [ "$left" ] && [ "$now" -ge "$deadline" ]; then
            kill -s KILL $left
            own_group && echo 1 >"$group/cgroup.kill" # also what forks faster than we look
        elif [ "$left" ] && [ -z "$asked" ]; then # once: what a TERM trap starts to clean up is left alone
            asked=yes
            kill -s TERM $left
            kill -s CONT $left
        fi
        doze $rest
        [ "$now" -lt $((began + 100)) ] || rest=0.5
    done 2>/dev/null
    disband
}

cancel() { # $1: grace in hundredths. One at a time: a second TERM is not what the first trap expects
    read -r self line </proc/self/stat
    born "$self"
    echo "$self $birth" >"ender.$self"
    if ! ln "ender.$self" ender; then
        read -r ender ender_birth <ender
        clock
        same "$ender" "$ender_birth" && { echo $((now + $1)) >"again.$self"; return; }
        mv -f "ender.$self" ender
    fi
    end_tree cancelled "$1"
}

heard() { # how much both readers have read, also when it no longer goes to the files
    out_read='' err_read=''
    { read -r line out_read <"/proc/$out/io"; read -r line err_read <"/proc/$err/io"; } 2>/dev/null
    sound="$out_read $err_read"
}

watch() { # the limits of time; in a process of its own, which outlives even the supervisor
    nap='' watching=yes
    trap '[ "$nap" ] && kill "$nap"; exit' TERM
    clock
    started=$now since=$now before=''
    while [ -e pid ] && [ ! -e exit ]; do
        clock
        heard
        [ "$sound" = "$before" ] || since=$now before=$sound
        [ "$timeout" ] && [ $((now - started)) -ge "$timeout" ] && end_tree timeout "$kill_after" && break
        [ "$silence" ] && [ $((now - since)) -ge "$silence" ] && end_tree silence "$kill_after" && break
        wait_for=${timeout:+$((started + timeout - now))}
        # A quarter: it is noticed after 1 to 1.25 times the silence, with four looks in that time.
        [ -z "$silence" ] || [ $((silence / 4)) -ge "${wait_for:-$silence}" ] || wait_for=$((silence / 4 + 1))
        wait_for=$((wait_for + 1))
        sleep $((wait_for / 100)).$((wait_for / 10 % 10))$((wait_for % 10)) &
        nap=$!
        wait "$nap" || sleep 1 # where sleep does not know fractions
        read -r job birthday <job
        [ -z "$job" ] || same "$job" "$birthday" || break
    done
}

drain() { # $1 the pipe, $2 the file: what does not fit is thrown away, the command never notices
    ulimit -f "$blocks"
    trap '' XFSZ HUP INT TERM # it ends when the command has: earlier, the command would get SIGPIPE
    exec tee "$2" <"$1" >/dev/null 2>>"cut"
}

become_the_command() {
    read -r job line </proc/self/stat
    born "$job"
    printf '%-60s\n' "$job $birth" 1<>job
    { [ -z "$group" ] || echo "$job" >"$group/cgroup.procs"; } 2>/dev/null
    export BATCHD_ATTEMPT_MARK="$mark"
    unset OLDPWD SHLVL
    . ./launch
}

settled() { # have the readers all that was written? Not the end of the pipes: a grandchild may hold them
    before=none tries=0
    while look "$out" || look "$err"; do
        tries=$((tries + 1))
        [ $tries -lt 40 ] && continue # a millisecond; nearly always they are done by then
        [ $tries -lt 140 ] || return 0
        heard
        look "$out" || stat=S
        out_state=$stat
        look "$err" || stat=S
        case "$out_state/$stat" in S*/S*) [ "$sound" = "$before" ] && return 0 ;; esac
        before=$sound
        doze 0.05
    done
}

run() {
    cd "$1" || exit 1
    trap : HUP INT QUIT TERM # caught, not ignored: what is ignored would be so in the command too
    trap '' PIPE
    read -r boot </proc/sys/kernel/random/boot_id
    read -r self line </proc/self/stat
    born "$self"
    . ./settings && read -r mark <mark || exit 1
    # A hard link is lock and content in one step: no moment in which we have begun and nobody knows who.
    echo "$self $birth $boot" >"pid.$self" && ln "pid.$self" pid || exit 1
    exec >/dev/null 2>&1
    trap - PIPE
    batchd_leader=$(command -v setsid) batchd_env=$(command -v env)
    code=- signal=0 cut=0 reason=-
    if [ ! -e by.cancelled ]; then
        confine
        (drain out stdout) & out=$!
        (drain err stderr) & err=$!
        watcher=''
        [ "$timeout$silence" ] && { watch & watcher=$!; born "$watcher" && echo "$watcher $birth" >watcher; }
        # In the foreground: then, and only then, the shell says on its own stderr that a signal ended it
        # (dash and busybox: not for INT and PIPE), and leaves INT and QUIT as they were.
        { (become_the_command) </dev/null >out 2>err; code=$?; } 2<>how
        set -- by.*
        if [ -e "$1" ]; then
            reason=${1#by.}
            while [ "$(members)" ]; do doze 0.1; done # whoever asked for the end also sees to it
        fi
        [ -z "$watcher" ] || kill "$watcher"
        settled
        look "$out" || wait "$out" || cut=1
        look "$err" || wait "$err" || cut=1
        disband # unless something was left behind on purpose
        read -r line <how && [ "$line" ] && [ "$code" -gt 128 ] && signal=$((code - 128))
    else
        reason=cancelled
    fi
    printf '%-60s\n' "$code $signal $cut $reason" 1<>exit.part
    until mv -f exit.part exit || [ ! -e exit.part ]; do sleep 1; done
}

apart() { # a session of its own; setsid forks where it is started by a session's leader, as we are
    command -v setsid >/dev/null && exec setsid "$@"
    set -m
    "$@" &
}

main() {
    verb=$1 folder=$2 watching=''
    case $verb in
    start) shift 2 && apart "$@" "$0" run "$folder" </dev/null ;;
    cancel) grace=$3 && shift 3 && apart "$@" "$0" end "$folder" "$grace" </dev/null >/dev/null 2>&1 ;;
    run) run "$folder" ;;
    end) cd "$folder" && cancel "$3" ;;
    left) cd "$folder" && members ;;
    disband) cd "$folder" && disband ;;
    esac
    exit
}

main "$@"
