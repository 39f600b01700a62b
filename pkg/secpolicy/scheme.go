package secpolicy

import "tlswatch/pkg/tlsname"

// A SignatureScheme is the algorithm of a signature, as in the extension
// signature_algorithms.
type SignatureScheme = tlsname.SignatureScheme
