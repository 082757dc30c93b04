# SPDX-License-Identifier: BSD-3-Clause
# fish completion for netns-ctl(1)

set -l commands forward flows kill stats events info top
set -l actions add remove replace list
set -l none "not __fish_seen_subcommand_from $commands"
set -l action "__fish_seen_subcommand_from forward; and not __fish_seen_subcommand_from $actions"

complete -c netns-ctl -f
complete -c netns-ctl -s s -l socket -r -F -d 'Control socket of the helper'
complete -c netns-ctl -l pid -x -a '(__fish_complete_pids)' -d 'The helper with this pid, or the one whose guest has it'
complete -c netns-ctl -l json -d 'Print the replies themselves, one line each'
complete -c netns-ctl -s h -l help -d 'Print help and exit'
complete -c netns-ctl -n $none -s V -l version -d 'Print the version and exit'

complete -c netns-ctl -n $none -a forward -d 'The rules of the port forwards'
complete -c netns-ctl -n $none -a flows -d 'Show the flows'
complete -c netns-ctl -n $none -a kill -d 'Reset flows'
complete -c netns-ctl -n $none -a stats -d 'Show counters'
complete -c netns-ctl -n $none -a events -d 'Show what happens, until interrupted'
complete -c netns-ctl -n $none -a info -d 'Show what the helper says about itself'
complete -c netns-ctl -n $none -a top -d 'Show rules and flows by rate, live'

complete -c netns-ctl -n $action -a add -d 'Add rules, all of them or none'
complete -c netns-ctl -n $action -a remove -d 'Remove rules, all of them or none'
complete -c netns-ctl -n $action -a replace -d 'Have these rules from now on'
complete -c netns-ctl -n $action -a list -d 'Show the rules'
complete -c netns-ctl -n '__fish_seen_subcommand_from replace' -l file -r -F -d 'Take the rules from this file'
complete -c netns-ctl -n '__fish_seen_subcommand_from flows' -l rule -x -d 'Flows of this rule only'
complete -c netns-ctl -n '__fish_seen_subcommand_from events' \
    -a 'rule_added rule_removed rule_failed flow_opened flow_closed path_changed limit_reached'
complete -c netns-ctl -n '__fish_seen_subcommand_from top' -l interval -x -d 'Seconds between two updates'
complete -c netns-ctl -n '__fish_seen_subcommand_from top' -s n -l frames -x -d 'End after so many frames'
