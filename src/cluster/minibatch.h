/* minibatch.h: k-means a few points at a time: another algorithm, much faster on many points and never quite as good. */
#ifndef FR_CLUSTER_MINIBATCH_H
#define FR_CLUSTER_MINIBATCH_H

#include "cluster/lloyd.h"

/* From the centroids that are there to the end, and labels of all points in one last pass. An iteration is as many
 * steps as go through all points once. */
fr_status fr_minibatch_run(fr_lloyd *l);

#endif
