/* by_rows.h: a tile's function is compiled once for each number of rows, its first argument: a constant, so that its
 * sums lie in registers. Here is the choice among them. */
#ifndef FR_KERNEL_SIMD_BY_ROWS_H
#define FR_KERNEL_SIMD_BY_ROWS_H

#define FR_ROWS_CASE(n, tile, ...)                                                                 \
    case n:                                                                                        \
        tile(n, __VA_ARGS__);                                                                      \
        break;

#define FR_ROWS_CASES(tile, ...)                                                                   \
    FR_ROWS_CASE(1, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(2, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(3, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(4, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(5, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(6, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(7, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(8, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(9, tile, __VA_ARGS__)                                                             \
    FR_ROWS_CASE(10, tile, __VA_ARGS__)                                                            \
    FR_ROWS_CASE(11, tile, __VA_ARGS__)

/* 1 .. 12 rows. */
#define FR_BY_ROWS_12(rows, tile, ...)                                                             \
    do {                                                                                           \
        switch (rows) {                                                                            \
            FR_ROWS_CASES(tile, __VA_ARGS__)                                                       \
        default: tile(12, __VA_ARGS__);                                                            \
        }                                                                                          \
    } while (0)

/* 1 .. 14 rows. */
#define FR_BY_ROWS_14(rows, tile, ...)                                                             \
    do {                                                                                           \
        switch (rows) {                                                                            \
            FR_ROWS_CASES(tile, __VA_ARGS__)                                                       \
            FR_ROWS_CASE(12, tile, __VA_ARGS__)                                                    \
            FR_ROWS_CASE(13, tile, __VA_ARGS__)                                                    \
        default: tile(14, __VA_ARGS__);                                                            \
        }                                                                                          \
    } while (0)

#endif
