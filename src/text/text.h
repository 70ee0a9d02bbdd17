/* text.h: the face of the room that turns text into numbers and models' numbers into text. */
#ifndef FR_TEXT_H
#define FR_TEXT_H

#include "text/chat.h"
#include "text/embed.h"
#include "text/generate.h"
#include "text/grammar.h"
#include "text/sampler.h"
#include "text/stops.h"
#include "text/stream.h"
#include "text/tokenizer.h"

#endif
