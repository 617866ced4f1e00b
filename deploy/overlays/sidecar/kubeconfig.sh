#!/bin/sh
# Makes the sidecar's kubeconfig, its certificates and the token of its HTTP endpoints, and renews the certificates: one
# command for all. On a control-plane node, as root:
#
#   TOKEN=... sh kubeconfig.sh
#
# It writes four files into DIRECTORY, each in one step, readable for OWNER alone:
#   kubeconfig    names the API server beside it, its CA, and client.pem
#   client.pem    key and certificate in one file, as kubelet's, so that the two never part
#   serving.pem   key and certificate of the HTTP endpoints, for the name `leasekeeper`
#   token         who has it may read the endpoints, Prometheus for one: TOKEN, the same on each node. Without TOKEN the
#                 one that is there stays, and a node that has none gets one of its own
# Run again, it renews a certificate that expires within RENEW_DAYS, and leaves any other as it is: it may run every week.
# leasekeeper reads the files again within 10 seconds: nothing is restarted.
#
# A certificate holds for DAYS less up to a sixth, at random: nodes that were set up on one day do not fail on one day.
# It is signed with the cluster's CA. What its user may do is in rbac.yaml. Needs openssl and the key of the CA; where that
# key is kept elsewhere, sign a CertificateSigningRequest for CLIENT there, and write client.pem yourself.
#
# Variables: DIRECTORY (/etc/kubernetes/leasekeeper), OWNER (65532:65532, the image's user), PKI (/etc/kubernetes/pki, holds
# ca.crt and ca.key), SERVER (https://127.0.0.1:6443), SERVER_NAME (kubernetes: a name that kubeadm puts into every API
# server's certificate, which 127.0.0.1 is not), CLIENT (leasekeeper-sidecar), DAYS (365), RENEW_DAYS (90), TOKEN.
set -eu
umask 077

DIRECTORY=${DIRECTORY:-/etc/kubernetes/leasekeeper}
OWNER=${OWNER:-65532:65532}
PKI=${PKI:-/etc/kubernetes/pki}
SERVER=${SERVER:-https://127.0.0.1:6443}
SERVER_NAME=${SERVER_NAME:-kubernetes}
CLIENT=${CLIENT:-leasekeeper-sidecar}
DAYS=${DAYS:-365}
RENEW_DAYS=${RENEW_DAYS:-90}

fail() { echo "kubeconfig.sh: $1" >&2; exit 1; }
[ -r "$PKI/ca.crt" ] || fail "cannot read $PKI/ca.crt"
mkdir -p -m 755 "$DIRECTORY" || fail "cannot make $DIRECTORY"

# On the same file system, so that a file is replaced by a rename.
work=$(mktemp -d "$DIRECTORY/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT

# put FILE: into its place, in one step.
put() {
  chmod 400 "$work/$1"
  if [ "$(id -u)" = 0 ]; then chown "$OWNER" "$work/$1"; fi
  mv -f "$work/$1" "$DIRECTORY/$1"
}

# Of another CA, it is none of ours.
holds() {
  openssl x509 -in "$DIRECTORY/$1" -noout -checkend $((RENEW_DAYS * 86400)) > /dev/null 2>&1 &&
    openssl verify -CAfile "$PKI/ca.crt" "$DIRECTORY/$1" > /dev/null 2>&1
}

# certificate FILE NAME USAGE [LINE]: signed with the cluster's CA, where FILE does not hold
certificate() {
  if holds "$1"; then return; fi
  [ -r "$PKI/ca.key" ] || fail "cannot read $PKI/ca.key"
  openssl ecparam -name prime256v1 -genkey -noout -out "$work/key"
  openssl req -new -key "$work/key" -subj "/CN=$2" -out "$work/csr"
  cat > "$work/extensions" <<END
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $3
${4:-}
END
  days=$((DAYS - 0x$(openssl rand -hex 3) % (DAYS / 6 + 1)))
  # A random serial number, so that the CA's directory stays as it is.
  openssl x509 -req -in "$work/csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
    -days "$days" -sha256 -extfile "$work/extensions" -out "$work/crt" 2> "$work/log" || fail "$(cat "$work/log")"
  cat "$work/crt" "$work/key" > "$work/$1"
  put "$1"
}

certificate client.pem "$CLIENT" clientAuth
certificate serving.pem leasekeeper serverAuth 'subjectAltName = DNS:leasekeeper, DNS:localhost, IP:127.0.0.1'

if [ -n "${TOKEN:-}" ] || [ ! -s "$DIRECTORY/token" ]; then
  printf '%s\n' "${TOKEN:-$(openssl rand -hex 32)}" > "$work/token"
  put token
fi

cat > "$work/kubeconfig" <<END
apiVersion: v1
kind: Config
clusters:
  - name: local
    cluster:
      server: $SERVER
      tls-server-name: $SERVER_NAME
      certificate-authority-data: $(base64 < "$PKI/ca.crt" | tr -d '\n')
users:
  - name: $CLIENT
    user:
      client-certificate: client.pem
      client-key: client.pem
contexts:
  - name: local
    context:
      cluster: local
      user: $CLIENT
      namespace: kube-system
current-context: local
END
put kubeconfig
echo "$DIRECTORY/kubeconfig: the certificate of $CLIENT holds until $(openssl x509 -in "$DIRECTORY/client.pem" -noout -enddate | cut -d= -f2)"
