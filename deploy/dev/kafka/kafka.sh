#!/bin/sh
# A real Apache Kafka broker for development and tests: one process (KRaft), on loopback only.
#
#   kafka.sh install                                    fetch it and Java, where they are missing
#   kafka.sh run DIR [PORT [TLS_PORT [CONTROLLER_PORT]]]  keep its data in DIR and run it until it is stopped
#
# PORT (9092) speaks without encryption, TLS_PORT (9093) TLS with SASL/SCRAM-SHA-512: user `mast`, password in
# DIR/password, the certificate to trust in DIR/ca.pem. Several may run at once, each with a DIR and ports of its own.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=$("$here/../target.sh")/dev/kafka-$(cksum <"$here/pom.xml" | cut -d ' ' -f 1)

fail() {
    printf 'kafka: %s\n' "$*" >&2
    exit 1
}

# Several tests may start brokers at once: one installs, the others wait for it.
install() {
    [ -e "$home/complete" ] && command -v java >/dev/null && command -v openssl >/dev/null && return
    mkdir -p "${home%/*}"
    (flock 9 && install_alone) 9>"$home.lock"
}

install_alone() {
    packages=
    command -v openssl >/dev/null || packages="$packages openssl"
    command -v java >/dev/null || packages="$packages openjdk-17-jre-headless"
    [ -e "$home/complete" ] || command -v mvn >/dev/null || packages="$packages maven"
    if [ -n "$packages" ]; then
        command -v apt-get >/dev/null || fail "this machine has no apt; install the counterparts of these by hand: $packages"
        as_root=
        [ "$(id -u)" -eq 0 ] || as_root=sudo
        echo "kafka: apt-get install$packages"
        $as_root apt-get -qq update
        # shellcheck disable=SC2086 # a list of words
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends $packages >/dev/null
    fi
    [ -e "$home/complete" ] && return
    echo "kafka: fetching the broker's packages"
    # Maven writes beside the file it reads.
    fresh=$home.new.$$
    rm -rf "$fresh"
    mkdir -p "$fresh/libs"
    cp "$here/pom.xml" "$fresh"
    mvn --quiet --batch-mode --file "$fresh/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$fresh/libs" -DincludeScope=runtime || fail "Maven could not fetch the broker"
    touch "$fresh/complete"
    rm -rf "$home"
    mv "$fresh" "$home"
}

java_of_kafka() {
    exec java -Xms128m -Xmx512m -XX:+UseSerialGC -Djava.awt.headless=true \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$home/libs/*" "$@"
}

run() {
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    port=${2:-9092} tls_port=${3:-9093} controller_port=${4:-9094}
    umask 077
    [ -s "$dir/password" ] || openssl rand -hex 16 >"$dir/password"
    if ! [ -s "$dir/ca.pem" ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=localhost \
            -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
            -keyout "$dir/key.pem" -out "$dir/ca.pem" 2>/dev/null
        cat "$dir/key.pem" "$dir/ca.pem" >"$dir/keystore.pem"
    fi
    scram=org.apache.kafka.common.security.scram.ScramLoginModule
    cat >"$dir/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,SASL_SSL://127.0.0.1:$tls_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port,SASL_SSL://127.0.0.1:$tls_port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$scram required;
ssl.keystore.type=PEM
ssl.keystore.location=$dir/keystore.pem
log.dirs=$dir/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.delete.delay.ms=1000
log.retention.check.interval.ms=5000
log.initial.task.delay.ms=1000
num.network.threads=2
num.io.threads=4
END
    if ! [ -e "$dir/log/meta.properties" ]; then
        (java_of_kafka kafka.tools.StorageTool format --config "$dir/server.properties" --ignore-formatted \
            --cluster-id "$(openssl rand -base64 16 | tr '+/' '-_' | tr -d =)" \
            --add-scram "SCRAM-SHA-512=[name=mast,password=$(cat "$dir/password")]") >"$dir/format.out" 2>&1 ||
            fail "the data folder cannot be formatted; see $dir/format.out"
    fi
    java_of_kafka kafka.Kafka "$dir/server.properties"
}

case ${1:-} in
install) install ;;
run)
    [ $# -ge 2 ] || fail "run needs a folder for the data"
    install >&2
    shift
    run "$@"
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
