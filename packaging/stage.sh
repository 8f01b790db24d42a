#!/bin/sh
# Makes what the packages need besides the executable, in target/packaging: man pages and shell
# completions (from the program's own commands), the crates' licences, the changelogs (from
# docs/CHANGELOG.md), and the maintainer scripts.
set -eu
cd "$(dirname "$0")/.."
umask 022
to=target/packaging
rm -rf "$to"
mkdir -p "$to/scripts" "$to/client-scripts"

cargo run --quiet --locked --example pages "$to/pages"
gzip -9n "$to"/pages/*.[58]
packaging/notices.sh >"$to/THIRD-PARTY"
gzip -9n "$to/THIRD-PARTY"
for package in etcd-signer etcd-client-cert; do
    packaging/changelog.sh "$package" >"$to/$package.changelog"
done

for script in preinst postinst prerm postrm; do
    {
        echo '#!/bin/sh'
        cat packaging/deb/etcd-signer/common.sh "packaging/deb/etcd-signer/$script.sh"
    } | sed '/shellcheck/d; /common\.sh"$/d' >"$to/scripts/$script"
    chmod 0755 "$to/scripts/$script"
done
for script in postinst prerm postrm; do
    { echo '#!/bin/sh'; sed '/shellcheck/d' "packaging/deb/etcd-client-cert/$script.sh"; } >"$to/client-scripts/$script"
    chmod 0755 "$to/client-scripts/$script"
done
