/* world.h: the face of the room: scenes by number, their pictures, what a picture shows, and examinations. */
#ifndef FR_WORLD_H
#define FR_WORLD_H

#include "world/caption.h"
#include "world/dataset.h"
#include "world/judge.h"
#include "world/line.h"
#include "world/line.h"
#include "world/metadata.h"
#include "world/report.h"
#include "world/scene.h"
#include "world/suite.h"

#endif
