#compdef berth
# zsh completion for berth; in ~/.zshrc, after compinit: source <(berth completion zsh)
_berth() {
  local -a answer found how
  local one
  answer=("${(@f)$("${(Q)words[1]}" completion next -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
  [[ $PREFIX == --*=* ]] && compset -P 1 '*='
  case $answer[1] in
  words)
    for one in "${(@)answer[2,-1]}"; do
      [[ -n $IPREFIX ]] && one=${one#"$IPREFIX"}
      if [[ $one == *$'\t'?* ]]; then
        found+=("${${one%%$'\t'*}//:/\\:}:${one#*$'\t'}")
      else
        found+=("${${one%%$'\t'*}//:/\\:}")
      fi
    done
    [[ -n ${found[(r)*=]} ]] && how=(-S '')
    _describe -V berth found "$how[@]"
    ;;
  files) _files ;;
  directories) _files -/ ;;
  users) _users ;;
  command\ *)
    local skip=${answer[1]#command }
    words=("${(@)words[skip + 1,-1]}")
    ((CURRENT -= skip))
    _normal
    ;;
  esac
}
compdef _berth berth
