// Package authority issues the webhook's serving certificate from a built-in certificate authority, without an outage
// when either is replaced, and heals what is lost or broken without a hand.
//
// The API server believes a webhook whose certificate an authority in the caBundle of the webhook configuration has
// signed. Three places hold what that takes:
//
//	Secret                          the current authority, which signs; during a rollover also the next one, which is
//	                                published and does not sign yet; and certificates of authorities that signed before
//	MutatingWebhookConfiguration    caBundle of each entry: the certificates of all of these, derived from the Secret
//	each replica, in memory only    a leaf certificate with its key, for the names that the entries say
//
// # States of an authority
//
//	          less than a third of the        the caBundle has held it        a leaf's lifetime has
//	          current one's life is left      for the settling time           passed since
//	(none) ------------------------> next ------------------------> current --------------> previous ----> (gone)
//	                                                                         as next succeeds
//
// An authority's key goes with its second state; as a previous one it is a certificate only. Where there is no
// current authority that can be read and is valid now (no Secret, or one that somebody emptied, corrupted, or that
// has expired), the next one takes its place at once, or else a new one; whatever the caBundle and the Secret held until
// then counts as previous, so that the leaves of other replicas stay good.
//
// # Rules
//
//  1. An authority is in the Secret before it is in a caBundle: the caBundle is written only from a Secret that was read
//     after the configuration, and on the condition that the configuration has not changed since. So nobody who looked
//     too early can remove what another replica has just published.
//  2. A leaf that the caBundle trusts is replaced only by one whose authority this replica has seen in the live caBundle
//     for the settling time, since each API server hears of a caBundle at its own pace. A leaf that the caBundle does not
//     trust has nothing to lose and is replaced at once.
//  3. Where a replica's own leaf is of an authority that is not in the Secret but in the caBundle, it puts the
//     authority's certificate into the Secret, as a previous one; a replica without a leaf does so for every authority
//     in the caBundle. So neither a Secret from a backup nor a change from certificates made elsewhere ends anything.
//  4. The Secret is changed only at the version that was read. Whoever loses reads again; all derive the same from it.
//  5. A leaf is renewed after two thirds of its life and never outlives its authority.
//
// Nobody is elected: each replica follows these rules, woken by watches of both objects, twice a second at most, and, in
// case those are silent, every ten seconds.
//
// The settling time is 5 minutes, a tenth of a leaf's lifetime where that is shorter. Certificates are valid from an hour
// before they are made: clocks differ.
package authority
