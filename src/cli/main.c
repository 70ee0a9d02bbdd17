/* main.c: the program's front door. */
#include "graph/graph.h"

int main(void) {
    printf("frugal %s\n", fr_version());
    return 0;
}
