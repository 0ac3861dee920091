# bash completion for berth; in ~/.bashrc: source <(berth completion bash)
_berth() {
  # bash takes --flag=value and a:b apart. Put them together again, and remember
  # where each word began.
  local -a line=() began=() answer=()
  local i word glue=
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((${#line[@]} > 1)) && [[ $glue || $word == [=:] ]]; then
      line[-1]+=$word
    else
      line+=("$word") began+=("$i")
    fi
    glue=
    [[ $word == [=:] ]] && ((i < COMP_CWORD)) && glue=1
  done
  COMPREPLY=()
  mapfile -t answer < <("${COMP_WORDS[0]}" completion next -- "${line[@]}" 2>/dev/null)
  local cur=${COMP_WORDS[COMP_CWORD]} whole=${line[-1]}
  [[ $cur == [=:] ]] && cur=
  case ${answer[0]} in
  words)
    local known=$((${#whole} - ${#cur}))
    for word in "${answer[@]:1}"; do
      word=${word%%$'\t'*}
      COMPREPLY+=("${word:known}")
      [[ $word == *= ]] && compopt -o nospace
    done
    ;;
  files) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
  directories) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
  users) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
  command\ *)
    i=${began[${answer[0]#command }]}
    if declare -F _command_offset >/dev/null; then
      _command_offset "$i"
    elif ((i == COMP_CWORD)); then
      mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    else
      compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
    ;;
  esac
}
complete -F _berth berth
