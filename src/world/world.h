/* world.h: the face of the room: scenes by number, their pictures, and what a picture shows. */
#ifndef FR_WORLD_H
#define FR_WORLD_H

#include "world/caption.h"
#include "world/judge.h"
#include "world/line.h"
#include "world/scene.h"

#endif
