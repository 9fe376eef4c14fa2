# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for pcireset(1)
#
# Addresses and methods come from sysfs: pressing Tab must not start a daemon. Numbers of jobs can only come
# from the daemon, which is running if there are any.
#
# shellcheck disable=SC2034,SC2086,SC2207 # words are what completion is about; `prev` is set by _init_completion

_pcireset_addresses() {
        local address
        for address in /sys/bus/pci/devices/*; do
                address=${address##*/}
                [[ $address == *:*:*.* ]] || continue
                printf '%s\n' "$address"
                # The short form, once somebody has begun to type it.
                [[ $1 == [0-9a-fA-F][0-9a-fA-F]:* && $address == 0000:* ]] && printf '%s\n' "${address#0000:}"
        done
}

_pcireset_methods() {
        local address=${1,,} methods=
        [[ $address == *:*:* ]] || address=0000:$address
        [[ $address =~ ^[0-9a-f:.]+$ ]] && read -r methods 2>/dev/null <"/sys/bus/pci/devices/$address/reset_method"
        printf '%s\n' any function link recover $methods
}

_pcireset() {
        local cur prev words cword
        _init_completion -n := || return

        local verbs='list show methods plan holders health doctor report history policy reset recover qualify run inhibit quarantine release jobs cancel leases inhibitors monitor'
        local options='--json --no-ask-password --help --version' i
        local -a typed=()
        for ((i = 1; i < cword; i++)); do
                [[ ${words[i]} == -* ]] || typed+=("${words[i]}")
        done

        # Behind `--` is a command, with a completion of its own. COMP_WORDS has more words than `words`: it is split at
        # colons, too.
        if [[ ${typed[0]} == @(run|inhibit) ]]; then
                for ((i = 1; i < COMP_CWORD; i++)); do
                        [[ ${COMP_WORDS[i]} == -- ]] || continue
                        _command_offset $((i + 1))
                        return
                done
        fi

        case ${typed[0]} in
        reset | recover) options+=' --in-use --when-idle --timeout= --no-wait --lease=' ;;
        qualify) options+=' --yes --count= --known-bad --output= --method= --in-use --timeout= --lease=' ;;
        run) options+=' --who= --why=' ;;
        inhibit) options+=' --who= --why= --mode=' ;;
        plan) options+=' --in-use --when-idle --lease=' ;;
        methods) options+=' --in-use' ;;
        health) options+=' --probe' ;;
        report) options+=' --with-serials' ;;
        policy) options+=' --runtime --why=' ;;
        history) options+=' --method= --verdict= --source= --hardware= --since= --limit= --signed-off-by=' ;;
        esac

        if [[ $cur == --mode=* ]]; then
                COMPREPLY=($(compgen -W 'block delay' -- "${cur#*=}"))
                return
        fi
        if [[ $cur == --verdict=* ]]; then
                COMPREPLY=($(compgen -W 'ok degraded dead unverified' -- "${cur#*=}"))
                return
        fi
        if [[ $cur == --source=* ]]; then
                COMPREPLY=($(compgen -W 'own imported' -- "${cur#*=}"))
                return
        fi
        if [[ $cur == --output=* ]]; then
                cur=${cur#*=}
                _filedir
                return
        fi
        if [[ $cur == -* ]]; then
                COMPREPLY=($(compgen -W "$options" -- "$cur"))
                [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
                return
        fi

        case ${#typed[@]}:${typed[0]} in
        0:) COMPREPLY=($(compgen -W "$verbs" -- "$cur")) ;;
        1:show | 1:methods | 1:plan | 1:holders | 1:health | 1:doctor | 1:report | 1:reset | 1:recover | 1:qualify | 1:quarantine | 1:release | *:run | *:inhibit)
                COMPREPLY=($(compgen -W "$(_pcireset_addresses "$cur")" -- "$cur"))
                __ltrim_colon_completions "$cur"
                ;;
        1:history)
                COMPREPLY=($(compgen -W "export import $(_pcireset_addresses "$cur")" -- "$cur"))
                __ltrim_colon_completions "$cur"
                ;;
        2:history) [[ ${typed[1]} == import ]] && _filedir ;;
        1:policy) COMPREPLY=($(compgen -W 'show set unset edit check' -- "$cur")) ;;
        2:policy)
                case ${typed[1]} in
                show | set)
                        COMPREPLY=($(compgen -W "$(_pcireset_addresses "$cur")" -- "$cur"))
                        __ltrim_colon_completions "$cur"
                        ;;
                edit | check) _filedir json ;;
                esac
                ;;
        *:policy)
                [[ ${typed[1]} == set ]] || return
                COMPREPLY=($(compgen -W 'methods= forbid= allow_link= driver= kernel_order= settle_usec= timeout_usec=' -- "$cur"))
                [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
                ;;
        2:plan | 2:reset) COMPREPLY=($(compgen -W "$(_pcireset_methods "${typed[1]}")" -- "$cur")) ;;
        1:cancel)
                COMPREPLY=($(compgen -W "$(pcireset jobs 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1 }')" -- "$cur"))
                ;;
        esac
} &&
        complete -F _pcireset pcireset
