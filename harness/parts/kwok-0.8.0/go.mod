module peerway.dev/harness/parts/kwok-0.8.0

go 1.26.0

require sigs.k8s.io/kwok v0.8.0
