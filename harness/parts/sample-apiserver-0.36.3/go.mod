module peerway.dev/harness/parts/sample-apiserver-0.36.3

go 1.26.0

require k8s.io/sample-apiserver v0.36.3
