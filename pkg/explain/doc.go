// Package explain says what the webhook would do with a manifest: which claims it
// would create, where each of their values comes from, what it would refuse and
// what it would warn of. Nothing is created.
//
// It does not decide anything itself. Each pod that the manifest stands for is put
// into an AdmissionReview and given to the webhook's own handler (package mutate),
// over a client that answers from the manifest, and from a cluster where there is
// one, and that notes what is created instead of creating it. So the two cannot
// disagree about hints. What an explanation cannot know is what the API server
// says to the creation: quota, limits, policies, and who won a race.
//
// What is written here is how controllers make pods of their templates.
package explain
