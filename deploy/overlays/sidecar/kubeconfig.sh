#!/bin/sh
# Prints a kubeconfig for the sidecar, with a client certificate of its own. On a control-plane node, as root:
#
#   install -D -m 400 -o 65532 /dev/null /etc/kubernetes/leasekeeper/kubeconfig
#   sh kubeconfig.sh > /etc/kubernetes/leasekeeper/kubeconfig
#
# The certificate is signed with the cluster's CA and holds for DAYS; do the same again before it ends, then restart the
# sidecar. What its user may do is in rbac.yaml. Needs openssl and the key of the CA; where that key is kept elsewhere,
# `kubeadm kubeconfig user --client-name leasekeeper-sidecar` there, or a CertificateSigningRequest, does the same.
#
# Variables: PKI (/etc/kubernetes/pki, holds ca.crt and ca.key), SERVER (https://127.0.0.1:6443), SERVER_NAME (kubernetes:
# a name that kubeadm puts into every API server's certificate, which 127.0.0.1 is not), CLIENT (leasekeeper-sidecar),
# DAYS (365).
set -eu
umask 077

PKI=${PKI:-/etc/kubernetes/pki}
SERVER=${SERVER:-https://127.0.0.1:6443}
SERVER_NAME=${SERVER_NAME:-kubernetes}
CLIENT=${CLIENT:-leasekeeper-sidecar}
DAYS=${DAYS:-365}

for file in "$PKI/ca.crt" "$PKI/ca.key"; do
  [ -r "$file" ] || { echo "kubeconfig.sh: cannot read $file" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

openssl ecparam -name prime256v1 -genkey -noout -out "$work/client.key"
openssl req -new -key "$work/client.key" -subj "/CN=$CLIENT" -out "$work/client.csr"
cat > "$work/extensions" <<END
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
END
# A random serial number, so that the CA's directory stays as it is.
openssl x509 -req -in "$work/client.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
  -days "$DAYS" -sha256 -extfile "$work/extensions" -out "$work/client.crt" 2> "$work/log" || { cat "$work/log" >&2; exit 1; }

encoded() { base64 < "$1" | tr -d '\n'; }

cat <<END
apiVersion: v1
kind: Config
clusters:
  - name: local
    cluster:
      server: $SERVER
      tls-server-name: $SERVER_NAME
      certificate-authority-data: $(encoded "$PKI/ca.crt")
users:
  - name: $CLIENT
    user:
      client-certificate-data: $(encoded "$work/client.crt")
      client-key-data: $(encoded "$work/client.key")
contexts:
  - name: local
    context:
      cluster: local
      user: $CLIENT
      namespace: kube-system
current-context: local
END
