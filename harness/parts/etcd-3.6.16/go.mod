module peerway.dev/harness/parts/etcd-3.6.16

go 1.26.0

require go.etcd.io/etcd/server/v3 v3.6.16
