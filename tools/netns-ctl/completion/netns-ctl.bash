# SPDX-License-Identifier: BSD-3-Clause
# bash completion for netns-ctl(1)

_netns_ctl() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' action='' word i
  local events='rule_added rule_removed rule_failed flow_opened flow_closed path_changed limit_reached'
  local options='--socket --pid --json --help'
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    case $word in
      -s | --socket | --pid | --file | --rule | --interval | -n | --frames) ((++i)) ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=$word; elif [[ -z $action ]]; then action=$word; fi ;;
    esac
  done
  case $previous in
    -s | --socket | --file)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --pid | --rule | --interval | -n | --frames) return ;;
  esac
  case $command in
    '') word="forward flows kill stats events info top --version $options" ;;
    forward)
      case $action in
        '') word="add remove replace list $options" ;;
        replace) word="--file $options" ;;
        *) word=$options ;;
      esac
      ;;
    flows) word="--rule $options" ;;
    events) word="$events $options" ;;
    top) word="--interval --frames $options" ;;
    *) word=$options ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
}
complete -o filenames -F _netns_ctl netns-ctl
