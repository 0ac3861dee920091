# fish completion for berth; in ~/.config/fish/completions/berth.fish
function __berth_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -q current[1]; or set current ''
    set -l answer ($before[1] completion next -- $before $current 2>/dev/null)
    set -q answer[1]; or return
    set -l kind (string split ' ' -- $answer[1])
    switch $kind[1]
        case words
            string join \n -- $answer[2..-1]
        case files
            __fish_complete_path (string replace -r '^--[^=]*=' '' -- $current)
        case directories
            __fish_complete_directories (string replace -r '^--[^=]*=' '' -- $current)
        case users
            __fish_complete_users
        case command
            set -l rest (string escape -- $before[(math $kind[2] + 1)..-1])
            complete -C "$rest $current"
    end
end
complete -c berth -f -a '(__berth_complete)'
