package redisstore

import "berth/lease/remote/client"

// kind is how a Redis, or a Sentinel, is recognised.
var kind = &client.Kind{
	Name:     "Redis",
	Greeting: "PING\r\n",
	Recognise: func(line string) client.Identity {
		if line[0] == '+' || line[0] == '-' {
			return client.Same
		}
		return client.Other
	},
	Hints: client.Hints{
		UseTLS:   "write rediss://, with a second s, in the URL (rediss+sentinel:// for Sentinels)",
		NoTLS:    "write redis:// in the URL, with one s (redis+sentinel:// for Sentinels), or the port at which it speaks TLS (tls-port)",
		CACert:   "put the file of the authority's certificate into the URL: rediss://HOST:PORT?cacert=FILE",
		Cert:     "put one that its authority has signed into the URL: ?cert=FILE&key=FILE",
		CAOption: "tls-ca-cert-file",
	},
}
