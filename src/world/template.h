/* template.h: shapes as rows of bits, for comparing what is seen with what a shape would look like.
 *
 * A mask is up to 64 pixels wide and high; bit i of row j is the pixel (i, j) of some corner. A pixel is inside
 * when its centre is. */
#ifndef FR_WORLD_TEMPLATE_H
#define FR_WORLD_TEMPLATE_H

#include "world/scene.h"

#define FR_MASK_SIDE 64

typedef struct fr_shape_mask {
    int width, height;
    uint64_t row[FR_MASK_SIDE];
} fr_shape_mask;

/* Intersection over union of the mask with a shape whose centre is (x, y) from the mask's corner. */
float fr_template_iou(const fr_shape_mask *seen, int area, fr_shape_class class, float x, float y,
                      float r);

/* The shape of a class that fills a box, as well as one can. aspect: how far the box is from the proportions
 * of the class, 1: not at all. */
void fr_template_fit(fr_shape_class class, fr_box box, float *x, float *y, float *r, float *aspect);

#endif
