#!/bin/sh
# Makes what the packages need besides the executable, in target/packaging: man pages and shell
# completions (from the program's own commands), and the maintainer scripts.
set -eu
cd "$(dirname "$0")/.."
umask 022
to=target/packaging
rm -rf "$to"
mkdir -p "$to/scripts"

cargo run --quiet --locked --example pages "$to/pages"
gzip -9n "$to"/pages/*.[58]

for script in preinst postinst prerm postrm; do
    {
        echo '#!/bin/sh'
        cat packaging/deb/common.sh "packaging/deb/$script.sh"
    } | sed '/shellcheck/d; /common\.sh"$/d' >"$to/scripts/$script"
    chmod 0755 "$to/scripts/$script"
done
